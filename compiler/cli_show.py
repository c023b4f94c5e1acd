"""The commands of `mixdq-compile` that show and decide: `layers`, `plan`, `inspect`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from mixdq.compiler import options as o
from mixdq.compiler.inspect import inspect as describe
from mixdq.compiler.inspect_bundle import bundle_text_statistics
from mixdq.compiler.layer_report import layer_tables, layer_totals
from mixdq.compiler.paper_stages import summary_of
from mixdq.compiler.plan_words import PlanWords
from mixdq.compiler.progress import child_on_terminal
from mixdq.compiler.recipe import Uniform
from mixdq.compiler.saved_recipe import LAYERS_FILE
from mixdq.compiler.text_embedding import shown_prompts
from mixdq.compiler.text_statistics import TextStatistics
from mixdq.compiler.torch_stages import find_embeddings, find_layers
from mixdq.configs.bundle import Bundle
from mixdq.configs.console import stdout_console
from mixdq.configs.errors import BundleError
from mixdq.configs.layers import LayerTable
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.presets import shipped_model
from mixdq.configs.shipped_search import shipped_sensitivity
from mixdq.export.source import open_architecture, open_source

show = typer.Typer()

MODEL_INDEX = "model_index.json"


@show.command()
def layers(
    model: o.Model,
    resolution: o.Resolutions = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print records instead of a table.")] = False,
) -> None:
    """List every quantizable layer: name, kind, role, group, shape, parameters, MACs, with totals."""
    table = _table(model, resolution)
    if as_json:
        print(
            json.dumps({"model": table.model.name, "digest": table.digest, "layers": table.rows()}, indent=1)
        )
        return
    console = stdout_console()
    for part in layer_tables(table):
        console.print(part, soft_wrap=isinstance(part, str))


@show.command()
def plan(
    model: o.Model,
    out: Annotated[Path, typer.Option("--out", help="The plan.yaml to write.")],
    weight_bits: o.WeightBits = None,
    activation_bits: o.ActivationBits = None,
    uniform: o.SameBits = False,
    keep: o.Keep = None,
    protect: o.Protect = None,
    no_protect: o.NoProtect = False,
    no_bos_aware: o.NoBosAware = False,
    no_split_shortcuts: o.NoSplit = False,
    weight_clipping: o.WeightClipping = None,
    activations: o.ActivationCentres = None,
) -> None:
    """Write the plan that `run` takes with the same options."""
    words = PlanWords(
        file=None,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        uniform=uniform,
        keep=keep,
        protect=protect,
        no_protect=no_protect,
        no_bos_aware=no_bos_aware,
        no_split=no_split_shortcuts,
        weight_clipping=weight_clipping,
        activations=activations,
    )
    table = _table(model, None, with_weights=shipped_sensitivity(model) is not None)
    chosen = words.choose(table.model, o.targets_of(None))
    made = chosen.plan.for_layers(table) if isinstance(chosen.plan, Uniform) else chosen.plan
    made.check(table)
    made.write(out)
    print(f"plan: {chosen.words}")
    print(f"{out}: {summary_of(made, table)}")


@show.command()
def inspect(
    path: Annotated[
        str,
        typer.Argument(help="A bundle's folder, a plan, ranges, layers.json or an ONNX graph; or a model."),
    ],
    timings: Annotated[
        bool, typer.Option("--timings", help="Seconds and memory of a bundle's stages.")
    ] = False,
    weights: o.Weights = None,
    text_statistics: Annotated[
        Path | None,
        typer.Option(
            "--text-statistics",
            help="Of a model or a bundle: write the text embedding's maxima, histograms and channel ranges.",
        ),
    ] = None,
) -> None:
    """Show a model, bundle, plan, range table, layer table or ONNX graph at a glance."""
    console = stdout_console()
    for part in _show_model(path, weights) if _is_model(path) else describe(Path(path), timings=timings):
        console.print(part)
    if text_statistics is not None:
        _statistics(path, weights).write(text_statistics)
        print(f"{text_statistics}: statistics of the text embedding")


def _statistics(path: str, weights: str | None) -> TextStatistics:
    if _is_model(path):
        return _model_statistics(path, weights)
    statistics = bundle_text_statistics(Path(path), Bundle.read(Path(path)))
    if statistics is None:
        raise BundleError(f"{path} has no engines for cpu to run; build it with --target cpu too")
    return statistics


def _is_model(path: str) -> bool:
    return shipped_model(path) is not None or (Path(path) / MODEL_INDEX).is_file()


def _show_model(model: str, weights: str | None) -> Iterator[RenderableType]:
    """A model's layers in sums, and the tokens of its text embedding."""
    table = _table(model, None)
    yield f"{table.model.name} ({table.model.digest[:12]}): {len(table)} quantizable layers"
    yield layer_totals(table)
    yield _model_statistics(model, weights).in_words()


def _model_statistics(model: str, weights: str | None) -> TextStatistics:
    source, prompts = open_source(ModelChoice(model, weights)), shown_prompts(model)
    return TextStatistics.of(child_on_terminal("text", find_embeddings, source, prompts).value, prompts)


def _table(model: str, resolutions: list[int] | None, *, with_weights: bool = False) -> LayerTable:
    """The layers of a model; of a folder that holds its `layers.json`, without loading torch.

    The name of a shipped model means that model: a folder beside it that is called the same is `./NAME`.

    Args:
        model: a name or a folder.
        resolutions: pixels; None for the model's own.
        with_weights: whether the table's model is identified by its weights too.
    """
    file = Path(model) / LAYERS_FILE
    if shipped_model(model) is None and resolutions is None and file.is_file():
        return LayerTable.read(file)
    source = (open_source if with_weights else open_architecture)(ModelChoice(model))
    return child_on_terminal("layers", find_layers, source, o.resolutions_of(source, resolutions)).value
