"""A bundle at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from mixdq.compiler.inspect_graph import show_unets
from mixdq.compiler.inspect_plan import show_plan
from mixdq.compiler.report import RunReport
from mixdq.compiler.saved_recipe import LAYERS_FILE, PLAN_FILE
from mixdq.compiler.text_embedding import embed, shown_prompts
from mixdq.compiler.text_statistics import TextStatistics
from mixdq.configs.bundle import Bundle
from mixdq.configs.errors import DigestError
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan


def show_bundle(root: Path, bundle: Bundle) -> Iterator[RenderableType]:
    """Model, plan, engines, one UNet graph of each dialect, and the text embedding's tokens.

    Raises:
        DigestError: a file is not the one that was built.
    """
    yield f"{root}: {bundle.model.name} ({bundle.model.digest[:12]}), {bundle.plan_summary}"
    sizes = ", ".join(map(str, bundle.resolutions))
    yield f"resolutions {sizes}; batch {bundle.batch}; BOS row {bundle.pipeline.bos_digest[:12]}"
    yield f"scales: {bundle.granularity}"
    plan = PrecisionPlan.read(root / PLAN_FILE)
    if plan.digest != bundle.plan_digest:
        raise DigestError(
            f"{root / PLAN_FILE} was changed after the bundle was built; run `mixdq-compile run` again"
        )
    yield from show_plan(plan, LayerTable.read(root / LAYERS_FILE))
    yield _engines(root, bundle)
    yield from show_unets(root)
    statistics = bundle_text_statistics(root, bundle)
    if statistics is None:
        yield "text embedding: not measured, the bundle has no engines for cpu"
    else:
        yield statistics.in_words()


def bundle_text_statistics(root: Path, bundle: Bundle) -> TextStatistics | None:
    """The statistics of a bundle's own text embedding; None if it has no engines for `cpu`."""
    prompts = shown_prompts(bundle.model.name)
    embeddings = embed(root, bundle, prompts)
    return None if embeddings is None else TextStatistics.of(embeddings, prompts)


def _engines(root: Path, bundle: Bundle) -> Table:
    view = Table("engine", "target", "pixels", "MB", "+ weights", "built by", "for")
    for engine in bundle.engines:
        for file in (engine.file, *engine.weights):
            file.check(root)
        view.add_row(
            engine.component,
            engine.target,
            "all" if engine.resolution is None else str(engine.resolution),
            f"{engine.file.bytes / 1e6:.2f}",
            f"{sum(file.bytes for file in engine.weights) / 1e6:.2f}",
            engine.builder,
            engine.built_for,
        )
    for column in view.columns[3:5]:
        column.justify = "right"
    view.title = "engines (all digests match)"
    return view


def show_timings(root: Path) -> Iterator[RenderableType]:
    """Seconds and memory of every stage, and the stored bytes, from the run's `report.json`."""
    report = RunReport.read(root)
    view = Table("stage", "seconds", "peak MiB", "last run", title="stages")
    for stage in report.stages:
        peak = "" if stage.peak_mib is None else f"{stage.peak_mib:.0f}"
        view.add_row(stage.name, f"{stage.seconds:.2f}", peak, "ran" if stage.ran_now else "up to date")
    for column in view.columns[1:3]:
        column.justify = "right"
    yield view
    yield f"last run: {report.seconds:.1f} s, at most {report.peak_mib:.0f} MiB in all processes"
    for stored in report.weights:
        yield (
            f"UNet weights for {stored.dialect}: {stored.bytes / 1e6:.2f} MB, "
            f"{stored.ratio:.3f} of FP16's {stored.fp16_bytes / 1e6:.2f} MB"
        )
    yield f"{report.machine['processor']}, {report.machine['cores']} cores; {', '.join(report.versions)}"
