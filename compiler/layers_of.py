"""A model's layers, by whatever names them on a command line."""

from __future__ import annotations

from pathlib import Path

from mixdq.compiler import options as o
from mixdq.compiler.progress import child_on_terminal
from mixdq.compiler.saved_recipe import LAYERS_FILE
from mixdq.compiler.torch_stages import find_layers
from mixdq.configs.errors import ModelError
from mixdq.configs.layers import LayerTable
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.presets import shipped_model
from mixdq.export.source import SourceModel, open_architecture, open_source


def layers_of(model: str) -> LayerTable:
    """The layers of a file, of a folder that holds `layers.json`, or of a model as `run` takes it.

    The table's model is identified by its weights too, so that sensitivities and plans of others are told
    apart; where it has none, by its configurations alone.

    Raises:
        ModelError: a file of another form, or a folder that is no model.
        StorageError: the file can't be read.
    """
    path = Path(model)
    if path.is_file():
        return LayerTable.read(path)
    if shipped_model(model) is None and (path / LAYERS_FILE).is_file():
        return LayerTable.read(path / LAYERS_FILE)
    source = _open(ModelChoice(model))
    return child_on_terminal("layers", find_layers, source, o.resolutions_of(source, None)).value


def _open(choice: ModelChoice) -> SourceModel:
    try:
        return open_source(choice)
    except ModelError:
        return open_architecture(choice)


def smallest_resolution(table: LayerTable) -> int:
    """Of those that the table gives the layers' work at, in pixels; 0 if it gives none."""
    return min(table.layers[0].macs, default=0)
