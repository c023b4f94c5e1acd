"""The earlier report's grid, by what `mixdq-eval grid` does, in a folder below the recipe's."""

from __future__ import annotations

from collections.abc import Mapping

from mixdq.configs.grid_table import GridCell
from mixdq.configs.target import Target
from mixdq.eval.grid.built import Compiling
from mixdq.eval.grid.candidates import Rows, candidates_of
from mixdq.eval.grid.cells import BackEnd
from mixdq.eval.grid.grid import GridRequest, measure_grid
from mixdq.eval.grid.quality import Judging
from mixdq.eval.reproduce.columns import COLUMNS, SCORES
from mixdq.eval.reproduce.made import Made, beside
from mixdq.eval.reproduce.measuring import reporting
from mixdq.eval.reproduce.needs import absent_scorers
from mixdq.eval.reproduce.result import Figure, ResultRow
from mixdq.eval.reproduce.workshop import Workshop
from mixdq.eval.speed.latency_run import Rounds
from mixdq.eval.speed.subject import Drawing

_BITS = (16.0, 8.0, 6.0, 5.0, 4.0)
_ACTIVATION_BITS = 8.0
_WARMUP, _PROCESSES = 3, 3
_FOLDER = "grid"


def make_grid(shop: Workshop) -> Made:
    """Five plans at all of the model's resolutions.

    Raises:
        MixdqError: see `measure_grid`.
    """
    request, bench, out = shop.request, shop.bench, shop.request.out / _FOLDER
    target, sizes = Target.parse("cpu"), shop.source.resolutions
    table = measure_grid(
        GridRequest(
            candidates=candidates_of(Rows(_BITS, _ACTIVATION_BITS, (), ()), shop.source.identity, (target,)),
            compiling=Compiling(
                source=shop.source,
                targets=(target,),
                resolutions=sizes,
                batch=1,
                ranges=bench.calibration,
                out=out / "bundles",
                work=bench.compile_folder(sizes),
                console=bench.console,
            ),
            back_ends=(BackEnd(str(target), request.device),),
            resolutions=sizes,
            drawing=Drawing(shop.pictures[0].prompt, request.seed, 1),
            rounds=Rounds(_WARMUP, request.repeats, _PROCESSES),
            judging=Judging(tuple(shop.pictures), None, request.scorers, request.bootstrap, out),
            out=out,
        ),
        reporting(bench.watch),
        shop.say,
    )
    plans = {plan.name: plan for plan in table.plans}
    rows = [
        ResultRow(
            f"{cell.plan} at {cell.resolution}",
            f"{cell.plan} at {cell.resolution}",
            plan=plans[cell.plan].summary,
            plan_digest=plans[cell.plan].plan_digest,
            ours=_figures(cell),
            note=cell.reason,
        )
        for cell in table.cells
    ]
    worst = {model.quantity: model.worst_error for model in table.models if model.worst_error is not None}
    return Made(
        columns=[COLUMNS[key] for key in shop.recipe.columns],
        rows=beside(rows, shop.recipe.rows),
        findings=[
            *table.warnings,
            *(
                f"a cell left out is predicted within {100 * error:.1f} % ({what})"
                for what, error in worst.items()
            ),
        ],
        not_measured=dict(absent_scorers(request)),
    )


def _figures(cell: GridCell) -> Mapping[str, Figure]:
    if not cell.is_measured:
        return {}
    figures = {
        "p50_ms": Figure(cell.p50_ms),
        "p95_ms": Figure(cell.p95_ms),
        "peak_mib": Figure(cell.peak_mib),
    }
    for key, begins in SCORES.items():
        if (score := cell.score(begins)) is not None:
            figures[key] = Figure(score.value, score.low, score.high)
    return figures
