"""Menu and policy of a bundle, from the operator's words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.bundle import Bundle
from mixdq.configs.errors import EvaluationError
from mixdq.configs.latency_table import WHOLE, LatencyRow, LatencyTable
from mixdq.runtime.policy.deadline import Deadline
from mixdq.runtime.policy.measured import Measurements
from mixdq.runtime.policy.queue import QueueLimits
from mixdq.runtime.policy.static import Static
from mixdq.runtime.policy.thresholds import Thresholds
from mixdq.runtime.policy.words import Tuning
from mixdq.runtime.server.offer import Offer
from mixdq.runtime.work.job import Ready

OFFER = Offer(
    latency=None,
    wanted=Measurements(None, None, None, None, None, (WHOLE,)),
    utility=(),
    quality=(),
    metric=None,
    policy=None,
    tuning=Tuning((2,), 1, 2.0, 0.001, 0.05),
    objective_s=0.4,
    workers=2,
    limits=QueueLimits(10, 1 << 20),
    switch_s=0.0,
    rate_memory_s=5.0,
    steps=1,
)
WORTH = replace(OFFER, utility=("16=0.5", "24=1"))
MEASURED = (
    Ready({16: {1: (0.1, 0.3)}, 24: {1: (0.4,)}}, None),
    Ready({16: {1: (0.2,)}, 24: {1: (0.6,)}}, None),
)


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    """Of 16 and 24 pixels, two pictures at once."""
    return Bundle.read(tiny_bundle)


def _row(resolution: int, batch: int, median_ms: float, plan_digest: str = "1" * 64) -> LatencyRow:
    return LatencyRow(
        name=WHOLE,
        kind="stage",
        precision="FP16",
        plan_digest=plan_digest,
        target="cpu",
        device="cpu",
        resolution=resolution,
        batch=batch,
        median_us=1e3 * median_ms,
        lower_quartile_us=1e3 * median_ms,
        upper_quartile_us=1e3 * median_ms,
        p95_us=1e3 * median_ms,
        runs=10,
        processes=1,
        lowest_process_us=1e3 * median_ms,
        highest_process_us=1e3 * median_ms,
        source="build/tiny",
        model="tiny",
        steps=1,
        clock="wall",
        run_digest="2" * 64,
    )


def _table(folder: Path, *rows: LatencyRow) -> Path:
    path = folder / "latency.json"
    LatencyTable(rows, {"processor": "a"}, {}).write(path)
    return path


def test_times_are_the_median_of_what_all_workers_measured(bundle: Bundle) -> None:
    small, large = WORTH.menu(bundle, MEASURED).points
    assert (small.utility, large.utility) == (0.5, 1.0)
    assert small.typical_s == pytest.approx([0.2])
    assert large.typical_s == pytest.approx([0.5])
    # Of 0.1, 0.2 and 0.3, and of 0.4 and 0.6.
    assert small.variance_s2 == pytest.approx([0.02 / 3])
    assert large.variance_s2 == pytest.approx([0.01])


def test_a_batch_between_those_that_were_measured_takes_as_long_as_the_larger(bundle: Bundle) -> None:
    times = {1: (0.1,), 3: (0.2, 0.4)}
    small, _ = WORTH.menu(bundle, [Ready({16: times, 24: {1: (1.0,)}}, None)]).points
    assert small.typical_s == pytest.approx([0.1, 0.3, 0.3])
    assert small.variance_s2 == pytest.approx([0.0, 0.01, 0.01])


def test_a_table_brings_batches_that_the_engines_hold(bundle: Bundle, tmp_path: Path) -> None:
    rows = (_row(16, 1, 10.0), _row(16, 2, 15.0), _row(16, 4, 25.0), _row(24, 1, 20.0))
    other = _row(16, 1, 99.0, plan_digest="3" * 64)
    menu = replace(WORTH, latency=_table(tmp_path, *rows, other)).menu(bundle, MEASURED)
    assert [point.typical_s for point in menu.points] == [pytest.approx([0.01, 0.015]), pytest.approx([0.02])]


def test_a_table_of_another_plan_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    path = _table(tmp_path, _row(16, 1, 10.0, plan_digest="3" * 64))
    with pytest.raises(EvaluationError, match="no times of picture"):
        replace(WORTH, latency=path).menu(bundle, MEASURED)


def test_with_utilities_the_deadline_policy_decides(bundle: Bundle) -> None:
    policy = WORTH.make_policy(WORTH.menu(bundle, MEASURED))
    assert isinstance(policy, Deadline)
    assert policy.problem.workers == 2


def test_without_them_it_is_the_size_within_the_objective(bundle: Bundle) -> None:
    policy = OFFER.make_policy(OFFER.menu(bundle, MEASURED))
    assert isinstance(policy, Static)
    # 24 pixels take 0.5 s, and 16 pixels 0.2 + 1.64 times 0.08 in the 95th percentile: 0.33.
    assert policy.point.resolution == 16


def test_thresholds_need_no_utilities(bundle: Bundle) -> None:
    offer = replace(OFFER, policy="thresholds")
    assert isinstance(offer.make_policy(offer.menu(bundle, MEASURED)), Thresholds)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policy": "deadline"}, "what pictures of each size are worth"),
        ({"utility": ("16=1",)}, "24 pixels"),
        ({"utility": ("16=1", "24=2", "32=3")}, "32 pixels"),
        ({"metric": "clip"}, "utilities come from"),
        ({"rate_memory_s": 0.0}, "the memory of the arrivals' rate"),
        ({"utility": ("16=1", "24=2"), "quality": (Path("a"),)}, "utilities come from"),
    ],
)
def test_a_rehearsal_finds_what_is_wrong_before_a_worker_starts(
    bundle: Bundle, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(EvaluationError, match=words):
        replace(OFFER, **changes).rehearse(bundle)  # type: ignore[arg-type]
