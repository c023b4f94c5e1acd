"""emoji-turbo's own sensitivities against plans that are really judged, if only on one small picture."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from mixdq.compiler.allocate.opening import open_subject
from mixdq.compiler.search import searching
from mixdq.compiler.search.judging import JudgeOrder
from mixdq.compiler.search.searching import Forms
from mixdq.compiler.torch_stages import CalibrationOrder
from mixdq.compiler.worker import Finished, Report
from mixdq.configs.sensitivity import PAPER_METRICS, Objective
from mixdq.configs.shipped_search import shipped_sensitivity
from mixdq.configs.target import Dialect
from mixdq.eval.prediction.drawing import OBJECTIVE, draw_plans
from mixdq.eval.prediction.predicting import predict
from mixdq.export.judgement import Measure
from mixdq.export.layers import list_layers
from mixdq.export.source import SourceModel

_SIDE = 64
_PROMPTS = ("a red apple",)


def _here(function: Callable[..., Any], *words: object, report: Report) -> Finished[Any]:
    """The work of a child, in this process, where torch is loaded already."""
    return Finished(function(report, *words), 0.0, 0.0)


def test_plans_are_judged_and_reported_with_what_was_expected_of_them(
    emoji: SourceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "run_in_child", _here)
    scores = shipped_sensitivity("emoji-turbo")
    assert scores is not None
    order = JudgeOrder(
        source=emoji,
        table=list_layers(emoji, (_SIDE,)),
        ranges=CalibrationOrder(emoji, _PROMPTS, 0, (_SIDE,), 1),
        prompts=_PROMPTS,
        seed=0,
        resolution=_SIDE,
        dialect=Dialect.ORT,
        device="cpu",
        batch=None,
        out=tmp_path / "prediction.json",
        restart=False,
    )
    subject = open_subject(order.table, [scores], (), PAPER_METRICS, 0.01, _SIDE, Objective.SCORES)
    drawn = list(islice(draw_plans(subject, 30, 4.25, 7.75, (8.0,), 0), 0, None, 6))  # each budget's optimum
    report = predict(order, subject, drawn, Forms(bos_aware=True, split_shortcuts=True))
    assert [plan.kind for plan in report.plans] == ["optimum"] * 5
    assert [plan.expected for plan in report.plans] == [each.expected for each in drawn]
    assert len({plan.plan for plan in report.plans}) == 5
    assert report.sensitivity_digest == subject.sensitivity.digest
    psnr = [plan.fidelity[Measure.PSNR] for plan in report.plans]
    assert psnr[0] + 3 < psnr[-1]  # of 4.25 bits and of 7.75
    overall = report.overall(OBJECTIVE, Measure.PSNR)
    assert overall is not None
    assert overall.rho is not None
    assert overall.plans == 5
