"""Table 3 by the ablation itself, whose folder lies in the recipe's."""

from __future__ import annotations

import shutil
from pathlib import Path

from mixdq.configs.files import writing
from mixdq.eval.ablation.ablate import Request as AblationRequest
from mixdq.eval.ablation.ablate import ablate, header_of
from mixdq.eval.ablation.cases import choose_cases
from mixdq.eval.ablation.header import claim
from mixdq.eval.ablation.plans import PlanMaker
from mixdq.eval.ablation.report import AblationRow
from mixdq.eval.ablation.rows import Studio
from mixdq.eval.ablation.training import open_training
from mixdq.eval.reproduce.columns import SCORES, columns_of
from mixdq.eval.reproduce.made import Made
from mixdq.eval.reproduce.needs import absent_scorers
from mixdq.eval.reproduce.result import Figure, ResultRow
from mixdq.eval.reproduce.workshop import Workshop

_FOLDER = "ablation"
_ON_SHEET = 8


def make_ablation(shop: Workshop) -> Made:
    """The rows of the ablation that the recipe names, drawn by ONNX Runtime on the CPU.

    Raises:
        MixdqError: see `ablate`.
    """
    request, bench, out = shop.request, shop.bench, shop.request.out / _FOLDER
    assert shop.sensitivity is not None  # a recipe with searched rows was refused without
    studio = Studio(
        source=shop.source,
        out=out,
        work=bench.compile_folder((bench.resolution,)),
        pictures=shop.pictures,
        resolution=bench.resolution,
        keep_bundles=False,
        console=bench.console,
        watch=bench.watch,
        calibration=bench.calibration,
    )
    plans = PlanMaker(shop.table, shop.sensitivity, bench.resolution, None, shop.given)
    header = header_of(plans, studio, request.seed)
    claim(out, header)
    _take_over(shop, out)
    found = ablate(
        AblationRequest(
            cases=choose_cases(",".join(row.case for row in shop.recipe.made if row.case)),
            plans=plans,
            studio=studio,
            training=None if request.reference is None else open_training(request.reference, shop.pictures),
            header=header,
            bootstrap=request.bootstrap,
            role_prompts=0,
            columns=min(_ON_SHEET, len(shop.pictures)),
            command=request.command,
        ),
        shop.say,
    )
    by_name = {row.name: row for row in found.rows}
    against = "the reference pictures" if request.reference else "full precision's pictures"
    fid = found.rows[-1].score("FID", training=request.reference is not None)
    metric = "FID" if fid is None else fid.metric
    return Made(
        columns=columns_of(shop.recipe.columns, metric),
        rows=[
            _row(by_name[row.case or ""], row.label, row.paper, with_reference=request.reference is not None)
            for row in shop.recipe.made
        ],
        findings=[*_steps(found.rows), *found.failed_controls],
        not_measured=dict(absent_scorers(request)),
        plots=[f"{_FOLDER}/samples.png"],
        settings={"FID": f"{metric} to {against}"},
    )


def _take_over(shop: Workshop, out: Path) -> None:
    """Copies pictures that another recipe drew with a row's plan, which the ablation then finds there."""
    for row in shop.recipe.made:
        place = out / "pictures" / row.name
        drawn = shop.bench.drawn(row.name, shop.plan(row).plan, shop.pictures)
        if drawn is not None and not place.exists():
            with writing(place) as temporary:
                shutil.copytree(drawn.folder, temporary)


def _row(found: AblationRow, label: str, paper: object, *, with_reference: bool) -> ResultRow:
    figures = {
        key: Figure(score.value, score.low, score.high)
        for key, begins in SCORES.items()
        if (score := found.score(begins, training=key == "fid" and with_reference)) is not None
    }
    if found.name == "full":  # of itself
        for key in ("ssim", "psnr", *(() if with_reference else ("fid",))):
            figures.pop(key, None)
    figures["weight_bits"] = Figure(found.costs.weight_bits)
    assert isinstance(paper, dict)
    return ResultRow(
        name=found.name,
        label=label,
        plan=found.plan,
        plan_digest=found.plan_digest,
        ours=figures,
        paper=paper,
        note=found.how,
        comparison=found.comparison,
    )


def _steps(rows: tuple[AblationRow, ...]) -> list[str]:
    return [
        f"{row.label}: {row.step.mean:+.2f} dB PSNR over the step before "
        f"({row.step.low:+.2f} to {row.step.high:+.2f})"
        for row in rows
        if row.step is not None
    ]
