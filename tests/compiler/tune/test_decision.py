from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mixdq.compiler.tune.decision import Decision, Why, decide
from mixdq.compiler.tune.limits import Limits
from mixdq.compiler.tune.trial import Trial
from mixdq.configs.errors import RequestError
from mixdq.configs.layers import LayerName

MakeTrial = Callable[..., Trial]
ANY = Limits(floor_db=None, bytes=None, clipped=0.01, ends=0.05)
ADDED = {LayerName(name): size for name, size in (("a", 100), ("b", 100), ("c", 400), ("d", 400))}


def _names(decision: Decision) -> list[str]:
    return [one.layer for one in decision.returns]


def test_layers_slower_beyond_the_spread_are_returned_and_no_others(make_trial: MakeTrial) -> None:
    decision = decide(make_trial({"a": 3.0, "b": 0.4, "c": -5.0, "d": 0.6}), ADDED, ANY, None)
    assert _names(decision) == ["a", "d"]
    assert {one.why for one in decision.returns} == {Why.SLOWER}
    assert decision.returns[0].reason == "3.0 us slower than in full precision, at least 2.5"
    assert (decision.returns[0].saved_us, decision.returns[0].added_bytes) == (3.0, 100)


def test_a_layer_that_is_slower_at_one_resolution_and_faster_in_all_stays(make_trial: MakeTrial) -> None:
    trial, larger = make_trial({"a": 3.0}), make_trial({"a": -9.0})
    both = replace(trial, times={128: trial.times[128], 256: larger.times[128]})
    assert not decide(both, {LayerName("a"): 100}, ANY, None).returns


def test_layers_in_full_precision_are_never_returned(make_trial: MakeTrial) -> None:
    decision = decide(make_trial({"a": 3.0, "other": 50.0}), ADDED, ANY, None)
    assert _names(decision) == ["a"]


def test_a_memory_budget_lets_go_what_gains_most_for_a_byte(make_trial: MakeTrial) -> None:
    trial = make_trial({"a": 3.0, "b": 2.0, "c": 7.0, "d": 5.0}, size=1000)
    decision = decide(trial, ADDED, replace(ANY, bytes=1500), None)
    # Microseconds for 100 bytes: a 3, b 2, c 1.75, d 1.25; after a and b nothing fits.
    assert _names(decision) == ["a", "b"]
    assert decision.forbidden == ("c", "d")


def test_a_memory_budget_without_room_ends_it(make_trial: MakeTrial) -> None:
    decision = decide(make_trial({"a": 3.0}, size=1000), ADDED, replace(ANY, bytes=1050), None)
    assert not decision.returns
    assert decision.stop == "the memory budget forbids to return 1 layers"


def test_when_the_whole_is_slower_layers_that_gain_nothing_follow(make_trial: MakeTrial) -> None:
    decision = decide(make_trial({"a": 0.3, "b": 0.0, "c": -0.1}, whole=50.0), ADDED, ANY, None)
    assert _names(decision) == ["a", "b"]
    assert {one.why for one in decision.returns} == {Why.NO_FASTER}
    assert not decide(make_trial({"a": 0.3, "b": 0.0, "c": -0.1}, whole=5.0), ADDED, ANY, None).returns


def test_layers_that_clip_go_first(make_trial: MakeTrial) -> None:
    trial = make_trial({"a": 3.0, "c": -5.0}, clipped={"c": 0.02, "a": 0.005})
    decision = decide(trial, ADDED, ANY, None)
    assert _names(decision) == ["c"]
    assert decision.returns[0].reason == "2.00% of its input is beyond its range"


def test_of_several_resolutions_the_worst_clipping_counts(make_trial: MakeTrial) -> None:
    worse, better = (make_trial({"a": 1.0}, clipped={"a": share}) for share in (0.3, 0.2))
    both = replace(worse, outputs={128: worse.outputs[128], 256: better.outputs[128]})
    assert both.clipped(0.1) == {"a": 0.3}
    assert both.clipped(0.25) == {"a": 0.3}


def test_pictures_below_the_floor_return_a_quarter_of_what_gains_least(make_trial: MakeTrial) -> None:
    trial = make_trial({"a": -9.0, "b": -1.0, "c": -4.0, "d": -2.0}, psnr_db=25.0)
    decision = decide(trial, ADDED, replace(ANY, floor_db=28.0), None)
    assert (_names(decision), decision.returns[0].why) == (["b"], Why.QUALITY)
    assert not decide(trial, ADDED, replace(ANY, floor_db=24.0), None).returns


def test_a_round_without_gain_ends_it_unless_the_whole_is_slower(make_trial: MakeTrial) -> None:
    before = make_trial({"a": 3.0}, whole=-100.0)
    same = make_trial({"a": 3.0}, whole=-100.0)
    assert decide(same, ADDED, ANY, before).stop.startswith("no gain is left")
    better = make_trial({"a": 3.0}, whole=-101.0)
    assert _names(decide(better, ADDED, ANY, before)) == ["a"]
    slower = make_trial({"a": 3.0}, whole=200.0)
    assert [one.why for one in decide(slower, ADDED, ANY, before).returns] == [Why.SLOWER]


def test_outputs_that_are_not_finite_end_it(make_trial: MakeTrial) -> None:
    decision = decide(make_trial({"a": 3.0}, finite=False, psnr_db=None), ADDED, ANY, None)
    assert (decision.returns, decision.stop) == ((), "it computes NaN or infinity")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"clipped": 1.5}, "--max-clipped 1.5 is no share"),
        ({"ends": -0.1}, "--max-saturated -0.1 is no share"),
        ({"floor_db": -3.0}, "--floor -3 dB"),
    ],
)
def test_limits_that_are_none_are_refused(changed: dict[str, float], named: str) -> None:
    with pytest.raises(RequestError, match=named):
        replace(ANY, **changed)  # type: ignore[arg-type]
