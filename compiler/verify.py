"""`verify`: is a bundle what was built, has it the form that its plan asks for, and what does it compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from mixdq.compiler.saved_recipe import LAYERS_FILE, PLAN_FILE, RANGES_FILE, SavedRecipe
from mixdq.compiler.unet_run import UnetInputs, find_unet_inputs, run_exported, run_quantized
from mixdq.compiler.worker import Report, run_in_child
from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.errors import BundleError, DigestError, RequestError
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.sqnr import sqnr_db
from mixdq.configs.target import Dialect
from mixdq.export.source import SUBFOLDERS, SourceModel, open_source


@dataclass(frozen=True, slots=True)
class Comparison:
    """The quantized UNet against full precision, both in ONNX Runtime, on one prompt and noise.

    Attributes:
        dialect: the form of both graphs.
        resolution: pixels.
        output: SQNR of the predicted noise in dB.
        blocks: SQNR of each block's output in dB, in the graph's order.
    """

    dialect: Dialect
    resolution: int
    output: float
    blocks: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found; it raises at the first thing that is wrong.

    Attributes:
        files: files whose digests match.
        graphs: UNet graphs that hold exactly what the plan says.
        comparison: None if the plan quantizes nothing.
    """

    files: int
    graphs: tuple[str, ...]
    comparison: Comparison | None


def verify(
    root: Path, *, resolution: int | None, prompt: str, seed: int, report: Callable[[str], Report]
) -> Verification:
    """Checks a bundle: digests, form of the graphs, and the UNet's numbers at one resolution.

    The full-precision graph is put together from the export in the work folder and the model's weights, in a
    temporary folder beside the export that is removed afterwards: 5 GB and 13 GB of memory for SDXL-Turbo.

    Args:
        root: the bundle's folder.
        resolution: pixels; None for the smallest of the bundle's.
        prompt: what to draw.
        seed: of the noise.
        report: told how far a named step is.

    Raises:
        DigestError: a file, or the model, is not the one that was built.
        GraphFormError: a graph deviates from its plan.
        BundleError: no bundle there, one without graphs, or its export is gone.
        RequestError: a resolution that the bundle was not built for.
    """
    bundle, saved = Bundle.read(root), SavedRecipe.read(root)
    size = bundle.resolutions[0] if resolution is None else resolution
    if size not in bundle.resolutions:
        known = ", ".join(map(str, bundle.resolutions))
        raise RequestError(f"{root} was built for {known} pixels, not for {size}; choose one of them")
    files = _check_files(root, bundle, report("digests"))
    plan, table = PrecisionPlan.read(root / PLAN_FILE), LayerTable.read(root / LAYERS_FILE)
    if plan.digest != bundle.plan_digest:
        raise DigestError(
            f"{root / PLAN_FILE} was changed after the bundle was built; run the compiler again"
        )
    if not any((root / "onnx").glob("*/unet*.onnx")):
        raise BundleError(
            f"all {files} files of {root} are as they were built, but it has no graphs to compare: its "
            "packages are compiled from modules; build it with --target cpu as well, of the same integers"
        )
    graphs = run_in_child(check_forms, root, plan, table, report=report("forms")).value
    comparison = None
    if any(precision.quantizes_weight for precision in plan.layers.values()):
        source = _source_of(root, bundle, saved)
        comparison = _compare(root, saved, source, plan, table, size, prompt, seed, report)
    return Verification(files, graphs, comparison)


def _check_files(root: Path, bundle: Bundle, report: Report) -> int:
    records = {file for engine in bundle.engines for file in (engine.file, *engine.weights)}
    records.update(bundle.tokenizers)
    for done, record in enumerate(sorted(records, key=lambda record: record.path)):
        report(record.path, done, len(records))
        record.check(root)
    return len(records)


def check_forms(report: Report, root: Path, plan: PrecisionPlan, table: LayerTable) -> tuple[str, ...]:
    """Checks every UNet graph of a bundle against its plan; the paths of those checked."""
    import onnx_ir as ir

    from mixdq.passes.check_form import CheckFormPass
    from mixdq.passes.pipeline import apply

    paths = [(d, path) for d in Dialect for path in sorted((root / "onnx" / d).glob("unet*.onnx"))]
    for done, (dialect, path) in enumerate(paths):
        report(path.name, done, len(paths))
        apply(ir.passes.Sequential(CheckFormPass(plan, table, dialect)), ir.load(path))
    return tuple(path.relative_to(root).as_posix() for _, path in paths)


def _source_of(root: Path, bundle: Bundle, saved: SavedRecipe) -> SourceModel:
    source = open_source(saved.choice)
    if source.identity.digest != bundle.model.digest:
        raise DigestError(
            f"{root} was compiled from {bundle.model.name} ({bundle.model.digest[:12]}), and "
            f"{saved.choice.model} is another by now ({source.identity.digest[:12]}); compile it again"
        )
    return source


def _compare(
    root: Path,
    saved: SavedRecipe,
    source: SourceModel,
    plan: PrecisionPlan,
    table: LayerTable,
    resolution: int,
    prompt: str,
    seed: int,
    report: Callable[[str], Report],
) -> Comparison:
    dialect = next(d for d in Dialect if any((root / "onnx" / d).glob("unet*.onnx")))
    folder = root / "onnx" / dialect
    graph = folder / f"{Component.UNET}-{resolution}.onnx"
    graph = graph if graph.is_file() else folder / f"{Component.UNET}.onnx"
    skeleton = root / saved.work / "source" / f"{Component.UNET}.onnx"
    if not skeleton.is_file():
        raise BundleError(
            f"{skeleton} is gone, which full precision is computed from; run `mixdq-compile run` again"
        )
    inputs: UnetInputs = run_in_child(
        find_unet_inputs, source, prompt, seed, resolution, saved.batch, report=report("text")
    ).value
    weights = source.weights[SUBFOLDERS[Component.UNET]]
    ranges = RangeTable.read(root / RANGES_FILE)
    ranges.check(table)
    expected = run_in_child(
        run_exported, skeleton, weights, table, dialect, inputs, report=report("full precision")
    ).value
    found = run_in_child(run_quantized, graph, inputs, report=report("quantized")).value
    ratios = {name: sqnr_db(found[name], value) for name, value in expected.items()}
    return Comparison(dialect, resolution, ratios.pop(""), ratios)


def in_words(found: Verification) -> Iterator[RenderableType]:
    """What was found, for people."""
    yield f"digests: {found.files} files match"
    yield f"form: {len(found.graphs)} UNet graphs hold exactly what the plan says"
    comparison = found.comparison
    if comparison is None:
        yield "the plan quantizes nothing: there is nothing to compare"
        return
    view = Table("output", "SQNR dB", title=f"quantized, {comparison.resolution} pixels")
    view.columns[1].justify = "right"
    for name, ratio in comparison.blocks.items():
        view.add_row(name, f"{ratio:.1f}")
    view.add_section()
    view.add_row("predicted noise", f"{comparison.output:.1f}")
    yield view
