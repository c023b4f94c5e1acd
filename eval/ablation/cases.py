"""The rows of an ablation: a budget of bits, how far MixDQ's method goes in it, and the paper's figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mixdq.configs.errors import EvaluationError
from mixdq.configs.precision import FLOAT_BITS


class Step(StrEnum):
    """How far the method goes; each step keeps what those before it do.

    `full` is no quantization. `naive` gives all layers the same bits and leaves nothing out. `bos` takes
    token 0 of the text out of cross-attention's K and V (paper, section 3.1). `mixed` chooses bits and
    protected layers by SQNR alone, all layers in one programme. `mixdq` decouples content and quality
    (section 3.2): SSIM and SQNR, a programme and a share of protected layers each. `noise` is no step of the
    paper's: the same two programmes add up the power that is lost instead of decibels, and quality layers
    may have 2 bits too (`mixdq.configs.sensitivity.Objective`).
    """

    FULL = "full"
    NAIVE = "naive"
    BOS = "bos"
    MIXED = "mixed"
    MIXDQ = "mixdq"
    NOISE = "noise"


_STEPS: Mapping[Step, str] = {
    Step.FULL: "full precision",
    Step.NAIVE: "naive: the same bits everywhere",
    Step.BOS: "+ BOS-aware",
    Step.MIXED: "+ mixed precision, by SQNR alone",
    Step.MIXDQ: "+ decoupled: MixDQ",
    Step.NOISE: "+ by lost noise, not decibels",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One row.

    Attributes:
        weight_bits: mean; 16 for full precision.
        activation_bits: 8, or 16 for floating point.
        step: how far the method goes.
        paper_fid: the paper's figure for SDXL-Turbo, and the table that it is from; None if it has none.
    """

    weight_bits: float
    activation_bits: int
    step: Step
    paper_fid: tuple[float, str] | None = None

    @property
    def budget(self) -> str:
        """`w3.66a16`; `full` of full precision."""
        if self.step is Step.FULL:
            return self.step
        return f"w{self.weight_bits:.12g}a{self.activation_bits}"

    @property
    def name(self) -> str:
        """`w8a8-bos`: unique, and the name of the row's folders."""
        return self.budget if self.step is Step.FULL else f"{self.budget}-{self.step}"

    @property
    def label(self) -> str:
        """For people: `W8A8 + BOS-aware`."""
        words = _STEPS[self.step]
        return words if self.step is Step.FULL else f"{self.budget.upper()} {words}"


FULL = Case(FLOAT_BITS, FLOAT_BITS, Step.FULL, (17.15, "tables 1 and 3"))

CASES = (
    FULL,
    Case(8, FLOAT_BITS, Step.NAIVE, (16.89, "table 1")),
    Case(8, 8, Step.NAIVE, (103.96, "tables 1 and 3")),
    Case(8, 8, Step.BOS, (31.65, "table 3")),
    Case(8, 8, Step.MIXED, (37.35, "table 3")),
    Case(8, 8, Step.MIXDQ, (17.03, "tables 1 and 3")),
    Case(5, 8, Step.NAIVE),
    Case(5, 8, Step.BOS),
    Case(5, 8, Step.MIXED),
    Case(5, 8, Step.MIXDQ, (17.23, "table 1")),
    Case(5, 8, Step.NOISE),
    Case(4, 8, Step.NAIVE, (358.9, "table 1")),
    Case(4, 8, Step.BOS),
    Case(4, 8, Step.MIXED),
    Case(4, 8, Step.MIXDQ, (17.68, "table 1")),
    Case(4, 8, Step.NOISE),
    Case(4, FLOAT_BITS, Step.NAIVE, (301.49, "table 1")),
    Case(4, FLOAT_BITS, Step.MIXDQ, (17.23, "table 1")),
    Case(4, FLOAT_BITS, Step.NOISE),
    # No width is uniform and 3.66 bits: there is no naive row.
    Case(3.66, FLOAT_BITS, Step.MIXDQ, (17.40, "table 1")),
    Case(3.66, FLOAT_BITS, Step.NOISE),
)


def choose_cases(text: str | None) -> tuple[Case, ...]:
    """The rows named, by name or by budget (`w8a8,w4a8-mixdq`), in the table's order; all if None.

    Full precision is always among them: the others are compared with it.

    Raises:
        EvaluationError: an unknown name.
    """
    if text is None:
        return CASES
    asked = {word.strip().lower() for word in text.split(",") if word.strip()}
    if unknown := sorted(asked - {case.name for case in CASES} - {case.budget for case in CASES}):
        budgets = dict.fromkeys(case.budget for case in CASES)
        raise EvaluationError(
            f"--rows names {', '.join(unknown)}; the rows are {', '.join(case.name for case in CASES)}, and "
            f"{', '.join(budgets)} names all of a budget"
        )
    return tuple(case for case in CASES if case is FULL or {case.name, case.budget} & asked)


def previous(case: Case) -> Case | None:
    """The step before it in the same budget; None if there is none."""
    before = [other for other in CASES[: CASES.index(case)] if other.budget == case.budget]
    return before[-1] if before else None
