"""What a run of a plan may deviate by, from what the plan's simulation deviates by itself.

No fixed number of decibels is right: one rounding flip, which another kernel's last bit causes, makes others
in every later layer, and after a few blocks two correct runs of one plan differ from each other about as much
as each does from full precision. So torch simulates the plan on the same inputs, and each block's output is
held to two bounds:

- **against full precision**, its SQNR is that of the simulation against full precision, within
  `PLAN_MARGIN_DB` both ways: better is wrong too, it means that something is not quantized. Where the graph
  computes in FP16, the error of FP16 without any plan is added to the simulation's first (energies add);
- **against the simulation**, its SQNR is at least that of the simulation with FP16 kernels against the
  simulation with FP32 kernels, the *kernel spread*, less `SPREAD_MARGIN_DB`. FP16 kernels flip roundings from
  the first layer on, so no correct kernel does worse; those that flip fewer do better.

Above `CLIP_DB` all ratios count as equal: there, hardly an integer is another. Full precision in ONNX Runtime
is held to the second bound, with full precision in torch for the simulation.

The margins: over ten runs (emoji-turbo W8A8, five prompts and seeds, 128 to 256 pixels, both dialects, 32
blocks each) the first ratio was off by 0.83 dB at the most, the second 1.07 dB below the spread at the most.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT
from mixdq.configs.errors import EvaluationError
from mixdq.configs.sqnr import sqnr_db
from mixdq.eval.compare.planned import Array

PLAN_MARGIN_DB = 2.0
SPREAD_MARGIN_DB = 3.0
CLIP_DB = 50.0

NOT_FINITE_DB = -200.0
"""What stands for the ratio of an output that holds NaN or infinity."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Bounds:
    """What a block's ratios in dB should be.

    Attributes:
        planned_db: against full precision; None for full precision itself.
        least_db: against the simulation, at least.
    """

    planned_db: float | None
    least_db: float

    @property
    def least_full_db(self) -> float:
        """The least ratio against full precision."""
        assert self.planned_db is not None, "full precision is not compared with itself"
        return min(self.planned_db, CLIP_DB) - PLAN_MARGIN_DB


@dataclass(frozen=True, slots=True, config=STRICT)
class BlockFigures:
    """What a block's ratios in dB are.

    Attributes:
        full_db: SQNR against full precision in ONNX Runtime; None for full precision itself.
        simulation_db: SQNR against the simulation in torch.
        bounds: what they should be.
    """

    full_db: float | None
    simulation_db: float
    bounds: Bounds

    @property
    def within(self) -> bool:
        """Whether both ratios keep their bounds."""
        close = True
        if self.full_db is not None and self.bounds.planned_db is not None:
            above = min(self.full_db, CLIP_DB) - self.bounds.least_full_db
            close = 0 <= above <= 2 * PLAN_MARGIN_DB
        return close and self.simulation_db >= self.bounds.least_db


def bounds(*, own_db: float | None, float_db: float | None, spread_db: float) -> Bounds:
    """The bounds of one block.

    Args:
        own_db: SQNR of the simulation against full precision, both in torch; None for full precision itself.
        float_db: SQNR of full precision with FP16 kernels against full precision with FP32 kernels, where the
            graph computes in FP16; else None.
        spread_db: SQNR of the simulation with FP16 kernels against the simulation with FP32 kernels;
            `NOT_FINITE_DB` where the former overflow: then that of two errors as large as the plan's own.
    """
    planned = own_db
    if own_db is not None and float_db is not None and float_db != NOT_FINITE_DB:
        planned = -10 * math.log10(10 ** (-own_db / 10) + 10 ** (-float_db / 10))
    if spread_db == NOT_FINITE_DB:
        spread_db = CLIP_DB if planned is None else planned - 10 * math.log10(2)
    return Bounds(planned, min(spread_db, CLIP_DB) - SPREAD_MARGIN_DB)


def ratio_db(name: str, output: Array, expected: Array) -> float:
    """`sqnr_db`, or `NOT_FINITE_DB`.

    Raises:
        EvaluationError: arrays of different shapes.
    """
    if output.shape != expected.shape:
        raise EvaluationError(
            f"{name or 'the predicted noise'} has the shape {output.shape}, expected {expected.shape}: the "
            "graph is of another model or resolution than the bundle says; build the bundle again"
        )
    return sqnr_db(output, expected) if bool(np.isfinite(output).all()) else NOT_FINITE_DB
