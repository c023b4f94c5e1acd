"""The demo: one model at several precisions, as pictures side by side and as figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from mixdq.compiler.report import RunReport
from mixdq.configs.model_choice import ModelChoice
from mixdq.eval.comparison import Pictures, compare
from mixdq.eval.contact_sheet import Cell, Sheet
from mixdq.eval.demo_report import DemoReport, Row
from mixdq.eval.variants import RTX, Variants, compile_variant, rtx_obstacle
from mixdq.export.source import open_source
from mixdq.runtime import load

# None of them is among the prompts that the ranges are calibrated on.
PROMPTS = (
    "strawberry",
    "owl",
    "pizza",
    "sunflower",
    "rocket",
    "fox",
    "hot beverage",
    "guitar",
)
_ROUNDS = 5
_NOTES = {
    "emoji-turbo": "The BOS outlier was planted in its training: this shows the mechanism, and is no "
    "independent evidence."
}


def demo(model: str, out: Path, seed: int, console: Console) -> DemoReport:
    """Compiles a model in several ways, draws the same pictures with each, and compares them.

    Writes into `out` the bundles (`full`, `no-bos`, `mixdq`, `w4a8` and, where a search ships, `w4a8-mixdq`),
    `samples.png` and `report.json`. What is up to date is not compiled again.

    Args:
        model: `emoji-turbo`, or another model that the compiler takes.
        out: a folder.
        seed: of the first prompt's noise; the next prompt has the next one.
        console: where to show progress.

    Raises:
        MixdqError: bad input, a full disk, or no model of that name.
    """
    source = open_source(ModelChoice(model))
    variants = Variants.of(source.identity)
    ways = variants.ways
    obstacle = rtx_obstacle()
    seconds = {}
    for way in ways:
        console.rule(way.name, align="left", style="dim")
        console.print(f"plan: {way.chosen.words}", highlight=False)
        seconds[way.name] = compile_variant(way, source, out, with_rtx=obstacle is None, console=console)
    console.rule("pictures", align="left", style="dim")
    pipelines = {way.name: load(out / way.folder) for way in ways}
    seeds = tuple(range(seed, seed + len(PROMPTS)))
    compared = compare(pipelines, PROMPTS, seeds, _ROUNDS)
    made = RunReport.read(out / [way for way in ways if way.for_rtx][-1].folder)
    report = DemoReport(
        model=pipelines[ways[0].name].bundle.model.name,
        prompts=PROMPTS,
        seeds=seeds,
        rows=compared.rows,
        plans={way.name: way.chosen.words for way in ways[1:]},
        compile_s=seconds,
        rtx=f"engines for {RTX}, built here and not run" if obstacle is None else f"not built: {obstacle}",
        machine=made.machine,
        versions=made.versions,
        note=f"{variants.note} {_NOTES.get(source.identity.name, '')}".rstrip(),
    )
    sample_sheet(report, compared.pictures).save(out / "samples.png")
    report.write(out / "report.json")
    return report


def sample_sheet(report: DemoReport, pictures: Mapping[str, Pictures]) -> Sheet:
    """The largest pictures: a row a prompt, a column a variant, the PSNR under each."""
    resolution = max(row.resolution for row in report.rows)
    rows = [row for row in report.rows if row.resolution == resolution]

    def cell(row: Row, index: int) -> Cell:
        caption = f"{row.similarity.psnr_db[index]:.1f} dB" if row.similarity else "reference"
        return Cell(pictures[row.variant][resolution][index], caption)

    return Sheet(
        title=f"{report.model}, one step, {resolution} by {resolution} pixels, ONNX Runtime",
        note=f"PSNR against full precision under each. {report.note}",
        columns=tuple(row.variant for row in rows),
        rows=tuple(
            (prompt, tuple(cell(row, index) for row in rows)) for index, prompt in enumerate(report.prompts)
        ),
    )
