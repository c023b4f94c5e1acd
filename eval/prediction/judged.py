"""A plan with what was expected of it and what it is worth."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT
from mixdq.export.judgement import Fidelity


@dataclass(frozen=True, slots=True, config=STRICT)
class JudgedPlan:
    """A plan of a budget.

    Attributes:
        kind: `optimum`, or the name of a baseline.
        budget: mean bits that were allowed, `W5A8`.
        plan: digest of the plan.
        weight_bits: mean that it has.
        activation_bits: likewise.
        expected: figures by predictor.
        fidelity: as measured.
    """

    kind: str
    budget: str
    plan: str
    weight_bits: float
    activation_bits: float
    expected: Mapping[str, float]
    fidelity: Fidelity
