from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from mixdq.configs.bundle import Component
from mixdq.eval import timing
from mixdq.eval.timing import Spread, noise_for, time_in_turns
from mixdq.runtime import load


def test_calls_are_made_in_turns_after_one_unmeasured_call_each() -> None:
    made: list[str] = []
    time_in_turns({"a": lambda: made.append("a"), "b": lambda: made.append("b")}, rounds=3)
    assert "".join(made) == "ab" + "ababab"


def test_median_and_quartiles_are_of_the_measured_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    # Calls that take 1, 2, 3, 4 and 5 ms by this clock.
    ticks: Iterator[float] = (value for n in count(1) for value in (n * 1.0, n * 1.0 + n / 1000))
    monkeypatch.setattr(timing, "perf_counter", lambda: next(ticks))
    found = time_in_turns({"a": lambda: None}, rounds=5)["a"]
    assert found.median_ms == pytest.approx(3)
    assert (found.lower_quartile_ms, found.upper_quartile_ms) == pytest.approx((2, 4))
    assert found.rounds == 5


def test_noise_has_the_engine_s_own_shapes_and_types(tiny_bundle: Path) -> None:
    pipeline = load(tiny_bundle)
    unet = noise_for(pipeline.engine(Component.UNET, 16), seed=0)
    assert {name: value.shape for name, value in unet.items()} == {
        "sample": (2, 4, 2, 2),
        "timestep": (),
        "encoder_hidden_states": (2, 77, 5),
        "text_embeds": (2, 1),
        "time_ids": (2, 6),
    }
    text = noise_for(pipeline.engine(Component.TEXT_ENCODER, 16), seed=0)
    assert text["input_ids"].dtype == np.int64
    np.testing.assert_array_equal(text["input_ids"], 0)


def test_the_spread_lies_linearly_between_values() -> None:
    spread = Spread.of([40.0, 10.0, 20.0, 30.0, 50.0])
    assert (spread.median, spread.lower_quartile, spread.upper_quartile) == (30, 20, 40)
    assert spread.p95 == pytest.approx(48)
    assert spread.count == 5
