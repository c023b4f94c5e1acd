"""Plans judged on an untrained model of emoji-turbo's form, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.compiler.search.judging import JudgeOrder, check_prompts, judge_plans
from mixdq.compiler.torch_stages import CalibrationOrder
from mixdq.configs.errors import DigestError, EvaluationError, RequestError, TargetError
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import Precision
from mixdq.configs.target import Dialect
from mixdq.export.layers import list_layers
from mixdq.export.source import open_source

MakeOrder = Callable[[Path], JudgeOrder]


@pytest.fixture(scope="module")
def make_order(tiny_model: Path) -> MakeOrder:
    source = open_source(ModelChoice(str(tiny_model)))
    table = list_layers(source, (64,))
    prompts = ("a red apple", "a sleepy cat")
    return lambda out: JudgeOrder(
        source=source,
        table=table,
        ranges=CalibrationOrder(source, prompts, 0, (64,), 1),
        prompts=prompts,
        seed=0,
        resolution=64,
        dialect=Dialect.ORT,
        device="cpu",
        batch=None,
        out=out,
        restart=False,
    )


def _plans(order: JudgeOrder) -> list[PrecisionPlan]:
    return [
        uniform_plan(
            order.table, Precision(bits, 8), keep=(), protect=(), bos_aware=False, split_shortcuts=True
        )
        for bits in (2, 4)
    ]


class Reports:
    """What was reported, phase by phase; interrupts after so many judged plans."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.phases: list[str] = []
        self._stop_after = stop_after

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        self.phases.append(phase)
        if phase.startswith("plans judged") and self._stop_after is not None and done >= self._stop_after:
            raise KeyboardInterrupt


def test_a_stopped_run_goes_on_and_gives_the_same_figures(make_order: MakeOrder, tmp_path: Path) -> None:
    order = make_order(tmp_path / "stopped/plan.yaml")
    plans = _plans(order)
    with pytest.raises(KeyboardInterrupt):
        judge_plans(Reports(stop_after=1), order, plans)
    second = Reports()
    resumed = judge_plans(second, order, plans)
    assert resumed.now == 1
    assert "batches of prompts" not in second.phases  # the ranges are there
    whole = judge_plans(Reports(), make_order(tmp_path / "whole/plan.yaml"), plans)
    assert whole.now == 2
    assert resumed.fidelities == whole.fidelities
    assert judge_plans(Reports(), order, plans).now == 0


def test_equal_plans_are_judged_once(make_order: MakeOrder, tmp_path: Path) -> None:
    order = make_order(tmp_path / "plan.yaml")
    plan = _plans(order)[0]
    found = judge_plans(Reports(), order, [plan, replace(plan), plan])
    assert found.now == 1
    assert list(found.fidelities) == [plan.digest]


def test_other_conditions_do_not_go_on_with_a_journal(make_order: MakeOrder, tmp_path: Path) -> None:
    order = make_order(tmp_path / "plan.yaml")
    plans = _plans(order)[:1]
    judge_plans(Reports(), order, plans)
    with pytest.raises(EvaluationError, match="seed 0, now 7"):
        judge_plans(Reports(), replace(order, seed=7), plans)
    assert judge_plans(Reports(), replace(order, seed=7, restart=True), plans).now == 1


def test_a_plan_of_another_model_is_refused_before_any_work(make_order: MakeOrder, tmp_path: Path) -> None:
    order = make_order(tmp_path / "plan.yaml")
    other = replace(_plans(order)[0], model_digest="0" * 64)
    reports = Reports()
    with pytest.raises(DigestError, match="other weights"):
        judge_plans(reports, order, [other])
    assert not reports.phases
    assert not order.journal.exists()


def test_without_the_gpu_that_was_asked_for_nothing_is_left_behind(
    make_order: MakeOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    order = replace(make_order(tmp_path / "plan.yaml"), device="cuda")
    with pytest.raises(TargetError):
        judge_plans(Reports(), order, _plans(order))
    assert not list(tmp_path.iterdir())


def test_too_few_prompts_are_refused() -> None:
    check_prompts(["a cat"] * 32)
    with pytest.raises(RequestError, match="at least 32 prompts, and 31"):
        check_prompts(["a cat"] * 31)
