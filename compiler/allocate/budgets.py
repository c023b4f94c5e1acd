"""Budgets of the four programmes: one mean, split between content and quality."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from mixdq.compiler.allocate.programme import Budget
from mixdq.compiler.allocate.subject import Part, Subject, parts_of
from mixdq.configs.errors import PlanError
from mixdq.configs.sensitivity import Operand


@dataclass(frozen=True, slots=True)
class Split:
    """Mean bits of one operand over both groups, and how they are divided.

    Attributes:
        mean: of all layers, weighted by their sizes.
        ratio: the content group's mean over the quality group's; the paper's k.
    """

    mean: float
    ratio: float


def split_budgets(subject: Subject, operand: Operand, split: Split) -> Mapping[Part, float]:
    """The groups' mean bits, whose mean, weighted by the groups' sizes, is the whole's.

    With r the content group's size over the quality group's: quality = mean (1 + r) / (k r + 1), content = k
    times that. A budget above a group's largest width is not used up.

    Raises:
        PlanError: a mean or ratio that is not positive.
    """
    if not 0 < split.mean < math.inf:
        raise PlanError(f"--{operand}-bits {split.mean:g} is no budget; give a positive, finite number")
    if not 0 < split.ratio < math.inf:
        raise PlanError(
            f"{operand} bits can't be split {split.ratio:g} to 1 between content and quality; give a "
            "positive, finite ratio"
        )
    content, quality = parts_of(operand)
    sizes = subject.total(content), subject.total(quality)
    if not all(sizes):
        return {part: split.mean for part, size in zip((content, quality), sizes, strict=True) if size}
    share = sizes[0] / sizes[1]
    mean_of_quality = split.mean * (1 + share) / (split.ratio * share + 1)
    return {content: split.ratio * mean_of_quality, quality: mean_of_quality}


def pays_smallest(subject: Subject, budgets: Mapping[Part, float]) -> bool:
    """Whether each programme's mean bits pay the smallest width of all its layers."""
    return all(
        Budget(str(part), mean, subject.total(part)).capacity >= subject.widths[part][0] * subject.total(part)
        for part, mean in budgets.items()
    )


def smallest_mean(subject: Subject, operand: Operand, ratio: float, parts: Iterable[Part]) -> Fraction:
    """The smallest mean of an operand over both groups of which a split pays the parts' smallest widths.

    One part's need decides it; the other gets more than it needs.
    """
    content, quality = parts_of(operand)
    sizes = subject.total(content), subject.total(quality)
    if not all(sizes):
        return max(Fraction(subject.widths[part][0]) for part in parts)
    of_quality = sum(sizes) / (Fraction(ratio) * sizes[0] + sizes[1])
    shares = {content: Fraction(ratio) * of_quality, quality: of_quality}
    return max(subject.widths[part][0] / shares[part] for part in parts)
