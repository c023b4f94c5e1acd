"""The command `mixdq-compile explain`: what a plan does, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixdq.compiler.layers_of import layers_of, smallest_resolution
from mixdq.compiler.saved_recipe import LAYERS_FILE, PLAN_FILE
from mixdq.configs.console import stdout_console
from mixdq.configs.errors import DigestError, PlanError, StorageError
from mixdq.configs.layers import Group, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.sensitivity import PAPER_METRICS, Metric, SensitivityTable
from mixdq.configs.shipped_search import shipped_layers_by_digest, shipped_sensitivity

explanation = typer.Typer()


@explanation.command()
def explain(
    plan: Annotated[Path, typer.Argument(help="A plan.yaml, or a bundle's folder.", show_default=False)],
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers",
            help="A layers.json, a folder that holds one, or a model as `run` takes it. (default: the "
            "layers.json beside the plan, or those that ship for its model)",
        ),
    ] = None,
    sensitivity: Annotated[
        list[Path] | None,
        typer.Option(
            "--sensitivity",
            help="A sensitivity.json, or MixDQ's YAML files, repeated. (default: the model's own, if one "
            "ships)",
        ),
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(
            "--compare", help="Likewise, from before: say, measured without BOS-aware quantization."
        ),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option("--points", help="The CSV of `allocate --sweep` or `--sweep-ratios`."),
    ] = None,
    widths: Annotated[
        list[str] | None,
        typer.Option("--widths", help="That the sweep was given, quality.weight=2,4,8."),
    ] = None,
    content_metric: Annotated[
        Metric, typer.Option("--content-metric", help="What decides there.")
    ] = PAPER_METRICS[Group.CONTENT],
    quality_metric: Annotated[
        Metric, typer.Option("--quality-metric", help="What decides there.")
    ] = PAPER_METRICS[Group.QUALITY],
    resolution: Annotated[
        int | None,
        typer.Option(
            "--resolution",
            help="Pixels at which activations and operations are counted. (default: the layer table's "
            "smallest)",
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", help="Layers to show of a ranking.", min=1)] = 10,
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder for explain.json and the plots.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Explain a plan: effective bits, bytes, operations; sensitive layers, what is protected, and why."""
    from mixdq.compiler.allocate.words import parse_widths, read_sensitivities
    from mixdq.compiler.explain.case import Case
    from mixdq.compiler.explain.explanation import Explanation, Extras
    from mixdq.compiler.explain.plots import write_plots
    from mixdq.compiler.explain.points import read_points
    from mixdq.compiler.explain.tables import print_parts

    if out is not None and out.exists() and not out.is_dir():
        raise StorageError(f"{out} is a file; --out names the folder that the plots are written into")
    file = _plan_file(plan)
    made = PrecisionPlan.read(file)
    table = _table(file, made, layers)
    made.check(table)
    scores = read_sensitivities(sensitivity, table) if sensitivity else _shipped(table)
    case = Case(
        table,
        made,
        scores,
        {Group.CONTENT: content_metric, Group.QUALITY: quality_metric},
        smallest_resolution(table) if resolution is None else resolution,
    )
    extras = Extras(
        compare=read_sensitivities(compare, table) if compare else None,
        points=read_points(points) if points is not None else (),
        widths=parse_widths(widths or []),
    )
    found = Explanation.of(case, extras)
    if as_json:
        print(found.to_json(), end="")
    else:
        print_parts(stdout_console(), found.in_words(top))
    if out is not None:
        for path in (found.write(out), *write_plots(case, found, out)):
            typer.echo(f"written: {path}", err=as_json)


def _plan_file(path: Path) -> Path:
    file = path / PLAN_FILE if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise PlanError(
            f"{path} holds no {PLAN_FILE}; give a plan, or a folder that `run` or `quantize` wrote"
        )
    return file


def _table(file: Path, plan: PrecisionPlan, layers: str | None) -> LayerTable:
    if layers is not None:
        return layers_of(layers)
    beside = file.with_name(LAYERS_FILE)
    if beside.is_file():
        return LayerTable.read(beside)
    shipped = shipped_layers_by_digest(plan.layers_digest)
    if shipped is not None:
        table = LayerTable.read(shipped)
        if plan.model_digest in (None, table.model.digest):
            return table
    raise PlanError(
        f"there is no {LAYERS_FILE} beside {file}, and none that ships is of its model; say which model it "
        f"is for: --layers MODEL, or the {LAYERS_FILE} that was made with it"
    )


def _shipped(table: LayerTable) -> SensitivityTable | None:
    """The sensitivities that ship for a model's name, unless they are of other weights."""
    path = shipped_sensitivity(table.model.name)
    if path is None:
        return None
    made = SensitivityTable.read(path)
    try:
        made.check(table)
    except (DigestError, PlanError) as error:
        typer.echo(f"the sensitivities that ship are not used: {error}", err=True)
        return None
    return made
