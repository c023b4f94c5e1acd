"""How a figure may depend on plan and resolution: a + b x + c x², x in millions of pixels.

Work on every position is in b, attention between all pairs of positions in c, what no resolution changes in
a. The forms differ in what plans share, and so in how many measured cells they need.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FORMULA = "a + b x + c x^2"

ATTENTION_SHARE = 0.14
"""Of SDXL's UNet: multiply-accumulates between positions, over all others, at a million pixels.

Self-attention of n positions and d channels takes 2 n^2 d. At 1024 pixels these are 10 blocks of 4096
positions and 640 channels and 60 of 1024 and 1280: 0.38 of 2.99 TMAC.
"""

_CURVES = np.concatenate([[0.0], np.geomspace(1e-3, 1e2, 400)])
_ROUNDS = 100

Coefficients = Mapping[str, tuple[float, float, float]]
"""a, b and c by plan."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """A measured figure.

    Attributes:
        plan: whose.
        resolution: pixels of each side.
        value: more than 0.
    """

    plan: str
    resolution: int
    value: float

    @property
    def x(self) -> float:
        """Millions of pixels."""
        return millions(self.resolution)


@dataclass(frozen=True, slots=True)
class Form:
    """A way of fitting.

    Attributes:
        name: of the documents.
        fit: coefficients for samples, of least squares of relative errors; None if there are too few of them.
    """

    name: str
    fit: Callable[[Sequence[Sample]], Coefficients | None]


def millions(resolution: int) -> float:
    """Millions of pixels of a square picture."""
    return resolution**2 / 1e6


def predict(coefficients: tuple[float, ...], resolution: int) -> float:
    """The formula's value."""
    a, b, c = coefficients
    x = millions(resolution)
    return a + b * x + c * x * x


def line(samples: Sequence[Sample]) -> Coefficients | None:
    """A and b of each plan; c is 0."""
    return _curved(samples, 0.0)


def attention(samples: Sequence[Sample]) -> Coefficients | None:
    """A and b of each plan; c is 0.14 b, as in SDXL's UNet."""
    return _curved(samples, ATTENTION_SHARE)


def common_curve(samples: Sequence[Sample]) -> Coefficients | None:
    """The same c/b for all plans; a and b of each."""
    if len(samples) < 2 * len({sample.plan for sample in samples}) + 2:
        return None
    fits = [(curve, fit) for curve in _CURVES if (fit := _curved(samples, float(curve))) is not None]
    return min(fits, key=lambda pair: _loss(samples, pair[1]))[1] if fits else None


def common_shape(samples: Sequence[Sample]) -> Coefficients | None:
    """Plans differ by a factor alone: one shape a + b x + c x² for all of them."""
    plans = sorted({sample.plan for sample in samples})
    sizes = {sample.resolution for sample in samples}
    if len(plans) < 2 or len(sizes) < 3 or len(samples) < len(plans) + 3:
        return None
    factors = dict.fromkeys(plans, 1.0)
    shape = np.zeros(3)
    # Shape and factors in turns: each is linear if the other is known.
    for _ in range(_ROUNDS):
        rows = np.array([_powers(sample) * factors[sample.plan] / sample.value for sample in samples])
        shape = _solve(rows)
        for plan in plans:
            shares = np.array([_powers(one) @ shape / one.value for one in samples if one.plan == plan])
            factors[plan] = float(shares.sum() / (shares @ shares))
    return {plan: _triple(shape * factor) for plan, factor in factors.items()}


FORMS = (
    Form("line", line),
    Form("attention", attention),
    Form("common curve", common_curve),
    Form("common shape", common_shape),
)
"""From few to many samples that they need."""


def _curved(samples: Sequence[Sample], curve: float) -> Coefficients | None:
    """A and b of each plan for a known c/b; None if a plan has fewer than two resolutions."""
    sizes = Counter(plan for plan, _ in {(sample.plan, sample.resolution) for sample in samples})
    if not samples or min(sizes.values()) < 2:
        return None
    found = {}
    for plan in sizes:
        own = [sample for sample in samples if sample.plan == plan]
        rows = np.array([[1.0, one.x + curve * one.x**2] for one in own]) / _values(own)[:, None]
        a, b = _solve(rows)
        found[plan] = _triple(np.array([a, b, curve * b]))
    return found


def _solve(rows: Numbers) -> Numbers:
    """The coefficients that bring every row, divided by its value, nearest to 1."""
    found: Numbers = np.linalg.lstsq(rows, np.ones(len(rows)), rcond=None)[0].astype(np.float64)
    return found


def _loss(samples: Sequence[Sample], coefficients: Coefficients) -> float:
    return sum((predict(coefficients[one.plan], one.resolution) / one.value - 1) ** 2 for one in samples)


def _powers(sample: Sample) -> Numbers:
    return np.array([1.0, sample.x, sample.x**2])


def _values(samples: Sequence[Sample]) -> Numbers:
    return np.array([sample.value for sample in samples])


def _triple(values: Numbers) -> tuple[float, float, float]:
    a, b, c = (float(value) for value in values)
    return a, b, c
