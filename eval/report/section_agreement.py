"""Whether back ends, targets and plans agree on what is computed."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean, median

from mixdq.eval.report.results import Results
from mixdq.eval.report.view import Block, Cell, Section, Table
from mixdq.eval.report.words import cells, counted, fixed, significant


def agreement_section(results: Results) -> Section:
    """Comparisons, self-tests, deployments and ways of quantizing the text embedding."""
    return Section(
        "agreement",
        "Agreement",
        (
            *_comparisons(results),
            *_selftests(results),
            *_deployments(results),
            *_text_embeds(results),
            *_forms(results),
        ),
    )


def _comparisons(results: Results) -> Iterator[Block]:
    for place, document in enumerate(results.found.comparisons, start=1):
        report = document.content
        yield Table(
            key=f"compare-{place}",
            caption=(
                f"The UNet in every back end, {document.name}: {report.model.name}, {report.plan}, "
                f"{report.resolution} pixels, machine {results.origins.letter(document)}"
            ),
            heads=("run", "to full precision dB", "to the simulation dB", "verdict", "why"),
            rows=tuple(
                cells(
                    run.name,
                    *_ends(run.outputs.get("")),
                    Cell(run.verdict, "good" if run.verdict == "within" else ""),
                    run.reason,
                )
                for run in report.runs
            ),
            words=frozenset({"verdict", "why"}),
            note=report.rule,
        )


def _ends(figures: object) -> tuple[str, str]:
    full, simulation = getattr(figures, "full_db", None), getattr(figures, "simulation_db", None)
    return fixed(full, 1), fixed(simulation, 1)


def _selftests(results: Results) -> Iterator[Block]:
    for place, document in enumerate(results.found.selftests, start=1):
        report = document.content
        yield Table(
            key=f"selftest-{place}",
            caption=f"Self-test {document.name}: {report.plan}, machine {results.origins.letter(document)}",
            heads=("target", "outcome"),
            rows=tuple(cells(result.target, str(result.outcome)) for result in report.results),
            words=frozenset({"outcome"}),
        )


def _deployments(results: Results) -> Iterator[Block]:
    for place, document in enumerate(results.found.deployments, start=1):
        report = document.content
        yield Table(
            key=f"deployed-{place}",
            caption=(
                f"What targets make of plans, {document.name}: PSNR dB, medians of "
                f"{counted(len(report.prompts), 'prompt')} at {report.resolution} pixels"
            ),
            heads=(
                "plan",
                "targets",
                "layers changed",
                "to the ideal plan",
                "to its own",
                "to full precision",
            ),
            rows=tuple(
                cells(
                    one.plan,
                    ", ".join(one.targets),
                    str(one.changed),
                    *(fixed(median(values), 1) for values in (one.ideal_db, one.own_db, one.full_db)),
                )
                for one in report.deployed
            ),
            words=frozenset({"targets"}),
        )


def _text_embeds(results: Results) -> Iterator[Block]:
    for place, document in enumerate(results.found.text_embeds, start=1):
        report = document.content
        yield Table(
            key=f"text-embed-{place}",
            caption=(
                f"The text embedding alone, {document.name}: means of "
                f"{counted(len(report.prompts), 'prompt')} at {report.resolution} pixels"
            ),
            heads=("way", "SQNR dB", "PSNR dB", "1 − SSIM"),
            rows=tuple(
                cells(
                    row.way,
                    fixed(fmean(row.sqnr_db), 1),
                    fixed(fmean(row.psnr_db), 1),
                    significant(1 - fmean(row.ssim), 2),
                )
                for row in report.rows
            ),
        )


def _forms(results: Results) -> Iterator[Block]:
    for place, document in enumerate(results.found.forms, start=1):
        report = document.content
        yield Table(
            key=f"forms-{place}",
            caption=f"Forms of {report.model} for {report.target}, {document.name}: simulated",
            heads=("precision", "scales and centres", "MB of weights", "SQNR dB", "PSNR dB", "SSIM"),
            rows=tuple(
                cells(
                    one.precision,
                    one.what,
                    fixed(one.weight_bytes / 1e6, 2),
                    fixed(one.fidelity.sqnr_db, 1),
                    fixed(one.fidelity.psnr_db, 1),
                    fixed(one.fidelity.ssim, 4),
                )
                for one in report.forms
            ),
            words=frozenset({"scales and centres"}),
        )
