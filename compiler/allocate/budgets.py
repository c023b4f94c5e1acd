"""Budgets of the four programmes: one mean, split between content and quality."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

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
    if not (0 < split.mean < math.inf and 0 < split.ratio < math.inf):
        raise PlanError(
            f"a mean of {split.mean:g} {operand} bits, split {split.ratio:g} to 1, is no budget; both are "
            "positive, finite numbers"
        )
    content, quality = parts_of(operand)
    sizes = subject.total(content), subject.total(quality)
    if not all(sizes):
        return {part: split.mean for part, size in zip((content, quality), sizes, strict=True) if size}
    share = sizes[0] / sizes[1]
    mean_of_quality = split.mean * (1 + share) / (split.ratio * share + 1)
    return {content: split.ratio * mean_of_quality, quality: mean_of_quality}
