import numpy as np
import pytest

from mixdq.configs.quality_table import Control
from mixdq.eval.quality.bootstrap import Bootstrap
from mixdq.eval.quality.derangement import control_of_prompts, derange
from mixdq.eval.scorer import Scores


@pytest.mark.parametrize(
    "prompts",
    [
        [f"p{index}" for index in range(40)],
        ["a", "b"],
        ["a", "a", "b", "c"],
        ["a", "b", "a", "b", "a", "c", "d", "c"],
        ["a"] * 5 + ["b"] * 5,
    ],
)
def test_no_picture_keeps_its_prompt_and_none_is_lost(prompts: list[str]) -> None:
    for seed in range(5):
        deranged = derange(prompts, seed)
        assert deranged is not None
        assert sorted(deranged) == sorted(prompts)
        assert all(own != other for own, other in zip(prompts, deranged, strict=True))


def test_the_seed_draws_the_order() -> None:
    prompts = [f"p{index}" for index in range(20)]
    assert derange(prompts, 0) == derange(prompts, 0)
    assert derange(prompts, 0) != derange(prompts, 1)


@pytest.mark.parametrize("prompts", [["a"], ["a", "a", "b"], ["a"] * 4])
def test_there_is_none_if_one_prompt_takes_more_than_half(prompts: list[str]) -> None:
    assert derange(prompts, 0) is None


def test_the_control_passes_only_if_the_whole_interval_is_above_0() -> None:
    random = np.random.default_rng(0)
    own, noise = random.normal(0.3, 0.1, 100), random.normal(0, 0.1, 100)

    def control(others: Scores) -> Control:
        return control_of_prompts("score", "set", own, others, Bootstrap(500, 0), is_reference=False)

    clear, unclear = control(own - 0.2 + noise), control(own - 0.01 + noise)
    lower = control(own + 0.2 + noise)
    assert [control.passed for control in (clear, unclear, lower)] == [True, False, False]
    assert clear.value == pytest.approx(0.2, abs=0.03)
    assert "found +0." in clear.means


@pytest.mark.parametrize(("swapped", "passed"), [(0, True), (100, False)])
def test_a_reference_with_half_of_its_prompts_exchanged_fails(swapped: int, passed: bool) -> None:
    # A score that never errs: 1 for the right prompt, near 0 for any other.
    random = np.random.default_rng(0)
    own, others = 1 + random.normal(0, 0.1, 200), random.normal(0, 0.1, 200)
    own[:swapped] -= 1
    control = control_of_prompts("score", "set", own, others, Bootstrap(500, 0), is_reference=True)
    assert control.low is not None
    assert control.low > 0.4
    assert control.passed is passed
    assert "(and at least 90% of them one by one)" in control.means
    assert control_of_prompts("score", "set", own, others, Bootstrap(500, 0), is_reference=False).passed
