"""What is in a file or folder of mixdq, as tables for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType

from mixdq.compiler.inspect_bundle import show_bundle, show_timings
from mixdq.compiler.inspect_graph import show_graph, show_unets
from mixdq.compiler.inspect_plan import show_plan, show_ranges
from mixdq.compiler.layer_report import layer_totals
from mixdq.compiler.saved_recipe import LAYERS_FILE, PLAN_FILE, RANGES_FILE
from mixdq.configs.bundle import BUNDLE_FILE, Bundle
from mixdq.configs.documents import read_json
from mixdq.configs.errors import BundleError
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable


def inspect(path: Path, *, timings: bool) -> Iterator[RenderableType]:
    """Shows a bundle's folder, a `quantize` folder, or one of their files.

    Args:
        path: what to show.
        timings: also the seconds and memory of the stages that made a bundle.

    Raises:
        MixdqError: nothing that mixdq writes is there, or it is damaged.
    """
    if path.is_dir():
        yield from _folder(path, timings)
    elif path.suffix == ".onnx":
        yield from show_graph(path)
    elif path.suffix in (".yaml", ".yml"):
        yield from show_plan(PrecisionPlan.read(path), _table_beside(path))
    elif path.name == BUNDLE_FILE:
        yield from _folder(path.parent, timings)
    else:
        yield from _json(path)


def _folder(root: Path, timings: bool) -> Iterator[RenderableType]:
    if (root / BUNDLE_FILE).is_file():
        yield from show_bundle(root, Bundle.read(root))
    elif (root / PLAN_FILE).is_file():
        yield from show_plan(PrecisionPlan.read(root / PLAN_FILE), _table_beside(root / PLAN_FILE))
        yield from show_unets(root)
    elif (root / LAYERS_FILE).is_file():
        yield layer_totals(LayerTable.read(root / LAYERS_FILE))
    else:
        raise BundleError(
            f"{root} holds neither {BUNDLE_FILE} nor {PLAN_FILE} nor {LAYERS_FILE}; give a folder that "
            "`mixdq-compile run` wrote, or one of its files"
        )
    if timings:
        yield from show_timings(root)


def _json(path: Path) -> Iterator[RenderableType]:
    """A JSON document, told apart by its fields."""
    fields = read_json(dict, path, BundleError)
    if "calibration" in fields:
        yield from show_ranges(RangeTable.read(path), _table_beside(path))
    elif isinstance(fields.get("layers"), list):
        yield layer_totals(LayerTable.read(path))
    else:
        raise BundleError(
            f"{path} is no file that mixdq writes: expected {BUNDLE_FILE}, {PLAN_FILE}, {RANGES_FILE}, "
            f"{LAYERS_FILE} or an ONNX graph"
        )


def _table_beside(path: Path) -> LayerTable | None:
    """The layer table in the same folder, which knows kinds and sizes."""
    file = path.with_name(LAYERS_FILE)
    return LayerTable.read(file) if file.is_file() else None
