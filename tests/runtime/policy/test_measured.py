"""Points from the tables that `mixdq-eval` writes."""

from dataclasses import replace

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.configs.latency_table import LatencyRow, LatencyTable
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.quality_table import QualityRow, QualityTable, Score
from mixdq.runtime.policy.measured import P95_SIGMAS, Measurements, measured_points, measured_utilities

ANY = Measurements(None, None, None, None, None, ("picture",))
UTILITIES = {128: 0.7, 256: 1.0}


def _latency(name: str, resolution: int, batch: int, median_ms: float, p95_ms: float) -> LatencyRow:
    return LatencyRow(
        name=name,
        kind="stage",
        precision="W8A8",
        plan_digest="1" * 64,
        target="cpu",
        device="cpu",
        resolution=resolution,
        batch=batch,
        median_us=1e3 * median_ms,
        lower_quartile_us=1e3 * median_ms,
        upper_quartile_us=1e3 * median_ms,
        p95_us=1e3 * p95_ms,
        runs=60,
        processes=3,
        lowest_process_us=1e3 * median_ms,
        highest_process_us=1e3 * median_ms,
        source="build/mixdq",
        model="tiny",
        steps=1,
        clock="wall",
        run_digest="2" * 64,
    )


ROWS = (
    _latency("picture", 128, 1, 50.0, 50.0 + 5.0 * P95_SIGMAS),
    _latency("picture", 128, 4, 140.0, 140.0),
    _latency("picture", 256, 1, 200.0, 220.0),
    _latency("unet", 128, 1, 18.0, 18.0 + 3.0 * P95_SIGMAS),
    _latency("vae", 128, 1, 26.0, 26.0 + 4.0 * P95_SIGMAS),
)


def _table(*rows: LatencyRow) -> LatencyTable:
    return LatencyTable(rows, {"processor": "a"}, {})


def test_times_and_spreads_are_the_rows_own() -> None:
    small, large = measured_points(_table(*ROWS), ANY, UTILITIES)
    assert (small.resolution, small.utility, large.resolution, large.utility) == (128, 0.7, 256, 1.0)
    # Two and three pictures take the time of a batch of four, the next that was measured.
    assert small.typical_s == pytest.approx([0.05, 0.14, 0.14, 0.14])
    assert small.variance_s2[0] == pytest.approx(0.005**2)
    assert small.variance_s2[1] == 0.0
    assert large.typical_s == pytest.approx([0.2])


def test_parts_add_up() -> None:
    parts = replace(ANY, parts=("unet", "vae"))
    (point,) = measured_points(_table(*ROWS), parts, {128: 1.0})
    assert point.typical_s == pytest.approx([0.044])
    assert point.variance_s2 == pytest.approx([0.005**2])


def test_a_missing_part_is_named() -> None:
    with pytest.raises(EvaluationError, match="no times of vae at 256 pixels, batch 1"):
        measured_points(
            _table(*ROWS, _latency("unet", 256, 1, 40.0, 41.0)),
            replace(ANY, parts=("unet", "vae")),
            UTILITIES,
        )


def test_two_configurations_must_be_told_apart() -> None:
    other = [replace(row, source="build/full", plan_digest="3" * 64) for row in ROWS]
    with pytest.raises(EvaluationError, match="differ in source build/full, build/mixdq; plan_digest"):
        measured_points(_table(*ROWS, *other), ANY, UTILITIES)
    chosen = measured_points(_table(*ROWS, *other), replace(ANY, source="build/full"), UTILITIES)
    assert len(chosen) == 2


def test_a_configuration_that_was_not_measured_is_named() -> None:
    with pytest.raises(
        EvaluationError, match="no times of picture with device cuda; it has source build/mixdq"
    ):
        measured_points(_table(*ROWS), replace(ANY, device="cuda"), UTILITIES)


def test_each_resolution_needs_a_utility() -> None:
    with pytest.raises(EvaluationError, match="256 pixels: a measured time is known and no utility"):
        measured_points(_table(*ROWS), ANY, {128: 1.0})


def _quality(resolution: int, value: float, *, metric: str = "CLIP", plan: str = "1") -> QualityRow:
    score = Score(metric, value, None, None, 8, metric == "CLIP", None, None)
    return QualityRow(
        f"images/{plan}-{resolution}", "4" * 64, "5" * 64, ModelIdentity("tiny", "0" * 64), "W8A8", plan * 64,
        resolution, 1, "euler", (score,),
    )  # fmt: skip


def _scores(*rows: QualityRow) -> QualityTable:
    return QualityTable("images/full", "6" * 64, 8, None, None, None, rows, {}, {}, {})


def test_a_utility_is_a_share_of_the_best_score() -> None:
    table = _scores(_quality(128, 0.2), _quality(256, 0.25))
    assert measured_utilities([table], "CLIP", None) == pytest.approx({128: 0.8, 256: 1.0})
    apart = [_scores(_quality(128, 0.2)), _scores(_quality(256, 0.25))]
    assert measured_utilities(apart, "CLIP", None) == measured_utilities([table], "CLIP", None)
    lower = _scores(_quality(128, 20.0, metric="FID"), _quality(256, 10.0, metric="FID"))
    assert measured_utilities([lower], "FID", None) == pytest.approx({128: 0.5, 256: 1.0})


def test_sets_of_two_plans_must_be_told_apart() -> None:
    table = _scores(_quality(128, 0.2), _quality(128, 0.3, plan="2"))
    with pytest.raises(EvaluationError, match=r"several sets of 128 pixels \(images/1-128, images/2-128\)"):
        measured_utilities([table], "CLIP", None)
    assert measured_utilities([table], "CLIP", "2" * 64) == {128: 1.0}


def test_scores_that_make_no_utility_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"CLIP gives -0\.1"):
        measured_utilities([_scores(_quality(128, -0.1))], "CLIP", None)
    with pytest.raises(EvaluationError, match="no score SSIM of that plan; they have CLIP"):
        measured_utilities([_scores(_quality(128, 0.1))], "SSIM", None)


def test_scores_of_other_prompts_are_not_compared() -> None:
    other = replace(_quality(256, 0.25), prompts_digest="7" * 64)
    with pytest.raises(EvaluationError, match="images/1-128, images/1-256 were drawn from different lists"):
        measured_utilities([_scores(_quality(128, 0.2)), _scores(other)], "CLIP", None)
