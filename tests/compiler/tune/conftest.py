"""What the tuning's tests share: trials with given times, and a small model's layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from mixdq.compiler.tune.paired import Paired, Spread
from mixdq.compiler.tune.trial import Outputs, Times, Trial
from mixdq.configs.layers import LayerName


def _paired(difference_us: float, spread_us: float = 0.5, full_us: float = 10.0) -> Paired:
    """A candidate that takes so much longer than full precision, give or take the spread."""
    candidate = full_us + difference_us
    return Paired(
        Spread(full_us, full_us, full_us),
        Spread(candidate, candidate, candidate),
        difference_us,
        difference_us - spread_us,
        difference_us + spread_us,
    )


@pytest.fixture
def make_trial() -> Callable[..., Trial]:
    """A trial at one resolution; of `layers` the differences in microseconds, give or take 0.5."""

    def make(
        layers: Mapping[str, float],
        *,
        whole: float = -100.0,
        size: int = 1000,
        plan: str = "plan",
        **outputs: Any,
    ) -> Trial:
        usual = {
            "finite": True,
            "broken": (),
            "psnr_db": 30.0,
            "sqnr_db": 20.0,
            "ends": 0.1,
            "full_ends": 0.1,
            "clipped": {},
        }
        times = Times(
            _paired(whole, 10.0, 1000.0),
            {LayerName(name): _paired(difference) for name, difference in layers.items()},
            _paired(0.0),
        )
        found = Outputs(**{**usual, **outputs})
        return Trial(plan, len(layers), size, {"unet.onnx": "0" * 64}, {128: times}, {128: found})

    return make
