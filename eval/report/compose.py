"""The report as one page: which sections it has, and what stands at its top."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mixdq.eval.report.results import Results
from mixdq.eval.report.section_agreement import agreement_section
from mixdq.eval.report.section_claims import claims_section
from mixdq.eval.report.section_gpu import gpu_section
from mixdq.eval.report.section_grid import grid_section
from mixdq.eval.report.section_plans import plans_section
from mixdq.eval.report.section_provenance import KINDS, provenance_section
from mixdq.eval.report.section_quality import quality_section
from mixdq.eval.report.section_samples import samples_section
from mixdq.eval.report.section_sensitivity import sensitivity_section
from mixdq.eval.report.section_serving import serving_section
from mixdq.eval.report.section_speed import latency_section, memory_section
from mixdq.eval.report.section_tradeoffs import tradeoffs_section
from mixdq.eval.report.view import ClaimList, Fact, Page, Section
from mixdq.eval.report.words import counted, listed


def _ablation(results: Results) -> Section:
    # Reading an ablation imports torch, which takes seconds: only where there is one.
    if not results.found.ablations:
        return Section("ablation", "Ablation", ())
    from mixdq.eval.report.section_ablation import ablation_section

    return ablation_section(results)


def _prediction(results: Results) -> Section:
    # SciPy, likewise.
    if not results.found.predictions:
        return Section("prediction", "Prediction", ())
    from mixdq.eval.report.section_prediction import prediction_section

    return prediction_section(results)


def _reproduction(results: Results) -> Section:
    if not results.found.reproductions:
        return Section("reproduction", "Tables and figures made again", ())
    from mixdq.eval.report.section_reproduction import reproduction_section

    return reproduction_section(results)


_SECTIONS: tuple[Callable[[Results], Section], ...] = (
    samples_section,
    quality_section,
    latency_section,
    memory_section,
    tradeoffs_section,
    grid_section,
    plans_section,
    sensitivity_section,
    _ablation,
    _prediction,
    serving_section,
    gpu_section,
    agreement_section,
    _reproduction,
    claims_section,
    provenance_section,
)


def make_page(results: Results) -> Page:
    """The page of some results; sections that have nothing to show are left out.

    Raises:
        EvaluationError: results contradict each other, or pictures were changed since they were drawn.
    """
    sections = tuple(section for make in _SECTIONS if (section := make(results)).blocks)
    models = _models(results)
    return Page(
        title=f"{listed(models)}: results" if models else "Results",
        facts=tuple(_facts(results, sections)),
        sections=sections,
        machines=tuple((origin.letter, origin.in_words) for origin in results.origins),
    )


def _models(results: Results) -> list[str]:
    found = results.found
    names = [
        *(document.content.model.name for document in found.bundles),
        *(document.content.painter.model.name for document in found.image_sets),
        *(document.content.model.name for document in found.grids),
        *(document.content.header.model.name for document in found.ablations),
        *(row.model for document in found.latencies for row in document.content.rows),
        *(document.content.model.name for document in found.layers),
    ]
    return list(dict.fromkeys(names))


def _facts(results: Results, sections: Sequence[Section]) -> Iterator[Fact]:
    for section in sections:
        for block in section.blocks:
            if isinstance(block, ClaimList):
                words = ", ".join(f"{count} {state}" for state, count in block.counts if count)
                yield Fact("Claims", words, section.key)
    counts: dict[str, int] = {}
    for kind, _ in results.found.documents():
        counts[kind] = counts.get(kind, 0) + 1
    kinds = (f"{KINDS[kind]} ×\u2009{count}" if count > 1 else KINDS[kind] for kind, count in counts.items())
    yield Fact("Made from", f"{counted(sum(counts.values()), 'document')}: {', '.join(kinds)}")
