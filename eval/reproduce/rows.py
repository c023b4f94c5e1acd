"""A table of plans: every row's plan, pictures, scores, memory and time, beside the source's figures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from mixdq.compiler.paper_stages import summary_of
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FLOAT_BITS
from mixdq.eval.ablation.costs import costs_of
from mixdq.eval.ablation.plans import RowPlan
from mixdq.eval.ablation.report import Comparison
from mixdq.eval.quality.pictures import DrawnSet
from mixdq.eval.reproduce.columns import COLUMNS, columns_of
from mixdq.eval.reproduce.made import Made
from mixdq.eval.reproduce.measuring import Figures, Subject, latency_figures, memory_figures
from mixdq.eval.reproduce.needs import absent_scorers
from mixdq.eval.reproduce.recipe import Measure, RecipeName, RecipeRow
from mixdq.eval.reproduce.result import Figure, ResultRow
from mixdq.eval.reproduce.scatter import write_scatter
from mixdq.eval.reproduce.scores import RowScores, Scorer
from mixdq.eval.reproduce.workshop import Workshop

_MIB = 1 << 20
_WHOLE_WIDTH = FLOAT_BITS * FLOAT_BITS


def make_rows(shop: Workshop) -> Made:
    """Makes what is missing of a recipe whose rows are plans.

    Raises:
        MixdqError: plans that can't be made, whatever compiling, drawing and scoring refuse.
    """
    rows = shop.recipe.made
    # All plans before the first picture: a budget that can't be kept is no surprise after an hour.
    plans = {row.name: shop.plan(row) for row in rows}
    drawn, scores = {}, {}
    for place, row in enumerate(rows, start=1):
        began = time.monotonic()
        drawn[row.name] = shop.bench.draw(
            row.name, plans[row.name].plan, shop.pictures, simulate=row.precision is not None
        )
        scores[row.name] = _scorer(shop, drawn[rows[0].name]).score(row.name, drawn[row.name])
        words = ", ".join(
            f"{COLUMNS[key].heading} {figure.value:.4g}" for key, figure in scores[row.name].figures.items()
        )
        shop.say(f"{place:2} of {len(rows)}  {row.label}: {words}  ({time.monotonic() - began:.0f} s)")
    measured = _measured(shop, plans)
    made = [_row(shop, row, plans, scores, measured) for row in rows]
    return Made(
        columns=columns_of(shop.recipe.columns, scores[rows[0].name].fid_metric),
        rows=_in_order(shop.recipe.rows, made),
        findings=list(_findings(scores, made)),
        not_measured=dict(_not_measured(shop)),
        plots=[write_scatter(made, shop.request.out)] if shop.request.recipe is RecipeName.FIG6 else (),
        settings={"FID": scores[rows[0].name].fid_words},
    )


def _not_measured(shop: Workshop) -> Iterator[tuple[str, str]]:
    yield from absent_scorers(shop.request)
    if Measure.MEMORY in shop.recipe.measures and shop.request.simulate:
        yield "memory and time", "a simulation has no engines; run the recipe without --simulate"


def _scorer(shop: Workshop, full: DrawnSet) -> Scorer:
    request = shop.request
    return Scorer(
        folder=shop.scores_folder,
        full=full,
        reference=shop.reference,
        weights=request.scorers,
        with_alignment=request.on_emoji,
        device=request.device,
        bootstrap=request.bootstrap,
        watch=shop.bench.watch,
    )


def _measured(shop: Workshop, plans: Mapping[str, RowPlan]) -> list[Figures]:
    """Memory and time, where the recipe measures them."""
    wanted = set(shop.recipe.measures)
    if not shop.bench.keep_bundles:
        return []
    bench, out = shop.bench, shop.request.out
    subject = Subject(bench.resolution, shop.pictures[0].prompt, bench.device)
    bundles = {name: bench.compile(name, made.plan, (bench.resolution,)) for name, made in plans.items()}
    found = [memory_figures(bundles, subject, out / "memory.json", bench.watch)]
    if Measure.LATENCY in wanted:
        repeats, table = shop.request.repeats, out / "latency.json"
        found.append(latency_figures(bundles, subject, repeats, table, bench.watch))
    return found


def _row(
    shop: Workshop,
    row: RecipeRow,
    plans: Mapping[str, RowPlan],
    scores: Mapping[str, RowScores],
    measured: Sequence[Figures],
) -> ResultRow:
    plan = plans[row.name]
    figures = scores[row.name].figures | _costs(plan.plan, shop.table, shop.bench.resolution)
    for found in measured:
        figures |= found[row.name]
    return ResultRow(
        name=row.name,
        label=row.label,
        plan=summary_of(plan.plan, shop.table),
        plan_digest=plan.plan.digest,
        ours={key: figures[key] for key in shop.recipe.columns if key in figures},
        paper=row.paper,
        note=plan.how,
        comparison=_comparison(shop, row, scores),
    )


def _costs(plan: PrecisionPlan, table: LayerTable, resolution: int) -> dict[str, Figure]:
    costs = costs_of(plan, table, resolution)
    return {
        "weight_bits": Figure(costs.weight_bits),
        "storage": Figure(FLOAT_BITS / costs.weight_bits),
        "compute": Figure(compute_reduction(plan, table, resolution)),
        "weights_mib": Figure(costs.packed_bytes / _MIB),
    }


def compute_reduction(plan: PrecisionPlan, table: LayerTable, resolution: int) -> float:
    """Bit operations at 16 by 16 over the plan's; a layer with a floating activation computes at 16 by 16."""
    total = done = 0
    for layer in table:
        macs, precision = layer.macs[resolution], plan[layer.name]
        total += macs * _WHOLE_WIDTH
        if precision.quantizes_activation:
            done += macs * precision.weight_bits * precision.activation_bits
        else:
            done += macs * _WHOLE_WIDTH
    return total / done


def _comparison(shop: Workshop, row: RecipeRow, scores: Mapping[str, RowScores]) -> Comparison | None:
    """The row's FID over that of the row that the recipe names; None where one of the four is not known."""
    by_name = {other.name: other for other in shop.recipe.made}
    if row.over is None:
        return None
    over = by_name[row.over]
    ours, theirs = (scores[name].figures.get("fid") for name in (row.name, over.name))
    paper = row.paper.get("fid"), over.paper.get("fid")
    if ours is None or theirs is None or not theirs.value > 0 or paper[0] is None or paper[1] is None:
        return None
    metric = scores[row.name].fid_words
    return Comparison.of(over.label, (paper[0], paper[1]), (ours.value, theirs.value), metric)


def _in_order(recipe: Sequence[RecipeRow], made: Sequence[ResultRow]) -> list[ResultRow]:
    by_name = {row.name: row for row in made}
    return [
        by_name.get(row.name) or ResultRow(row.name, row.label, paper=row.paper, note=row.not_made or "")
        for row in recipe
    ]


def _findings(scores: Mapping[str, RowScores], rows: Sequence[ResultRow]) -> Iterator[str]:
    compared = [row for row in rows if row.comparison is not None]
    if compared:
        apart = [row.label for row in compared if row.comparison is not None and not row.comparison.agrees]
        yield (
            f"of {len(compared)} rows that compare with another, {len(compared) - len(apart)} move in the "
            f"source's direction{'; not ' + ', '.join(apart) if apart else ''}"
        )
    for found in scores.values():
        yield from (f"control failed: {words}" for words in found.failed)
