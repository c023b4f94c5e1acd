"""Many budgets at once: the grid of both groups' budgets, and the ratios of one mean's split."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path

from mixdq.compiler.allocate.budgets import Split, split_budgets
from mixdq.compiler.allocate.frontier import frontier
from mixdq.compiler.allocate.joint import scaled_score
from mixdq.compiler.allocate.solved import Wanted, Watch, solve_all
from mixdq.compiler.allocate.solver import USUAL_LIMIT_S, Solution
from mixdq.compiler.allocate.subject import Part, Subject, parts_of
from mixdq.configs.errors import PlanError
from mixdq.configs.files import write_text
from mixdq.configs.sensitivity import Operand


@dataclass(frozen=True, slots=True)
class Point:
    """One pair of budgets of an operand's two programmes, and what it gives.

    Attributes:
        operand: weight or activation.
        ratio: the content budget over the quality budget.
        content_budget: mean bits that were allowed.
        quality_budget: likewise.
        feasible: whether both can be kept; if not, nothing below is known (NaN).
        mean_bits: of both groups together, weighted by their sizes.
        content_score: the content programme's objective (summed SSIM).
        quality_score: the quality programme's objective (summed SQNR in dB).
        objective: both, each as its share of what there is to gain: 0 to 2.
        proven: whether both are proven optimal.
        on_frontier: whether no other point has both fewer mean bits and more objective.
    """

    operand: Operand
    ratio: float
    content_budget: float
    quality_budget: float
    feasible: bool
    mean_bits: float
    content_score: float
    quality_score: float
    objective: float
    proven: bool
    on_frontier: bool


def grid(
    subject: Subject, operand: Operand, count: int, watch: Watch, *, limit_s: float = USUAL_LIMIT_S
) -> tuple[Point, ...]:
    """All pairs of evenly spaced budgets, from each group's smallest width to its largest.

    Count squared points of 2 count solves: each group's budgets are solved once.

    Raises:
        PlanError: fewer than two budgets a group.
    """
    if count < 2:
        raise PlanError(f"a grid of {count} by {count} budgets is none; use at least 2")
    axes = [[(part, mean) for mean in spaced(subject.widths[part], count)] for part in parts_of(operand)]
    solved = _solve_all(subject, [pair for axis in axes for pair in axis], watch, limit_s)
    return _marked([_point(operand, solved, content, quality) for content, quality in product(*axes)])


def ratio_sweep(
    subject: Subject,
    operand: Operand,
    mean_bits: float,
    ratios: Sequence[float],
    watch: Watch,
    *,
    limit_s: float = USUAL_LIMIT_S,
) -> tuple[Point, ...]:
    """One mean, split between the groups at each ratio (the paper's k); some may not be feasible."""
    splits = [split_budgets(subject, operand, Split(mean_bits, ratio)) for ratio in ratios]
    pairs = [tuple((part, split[part]) for part in parts_of(operand)) for split in splits]
    solved = _solve_all(subject, [one for pair in pairs for one in pair], watch, limit_s)
    return _marked([_point(operand, solved, content, quality) for content, quality in pairs])


def write_points(path: Path, points: Iterable[Point]) -> None:
    """Writes the points as CSV, one a line, the fields' names first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Point)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(point) for point in points)
    write_text(path, text.getvalue())


@dataclass(frozen=True, slots=True)
class _Solved:
    """What a programme's solution adds to points."""

    score: float
    share: float
    bits: int
    size: int
    proven: bool

    @classmethod
    def of(cls, subject: Subject, part: Part, solution: Solution[int]) -> _Solved:
        bits = solution.programme.values(solution.chosen)
        share = scaled_score(subject, part, bits)
        return cls(solution.score, share, solution.costs[0], subject.total(part), solution.proven)


def _solve_all(
    subject: Subject, keys: Sequence[Wanted], watch: Watch, limit_s: float
) -> Mapping[Wanted, _Solved | None]:
    """What each programme with each budget adds; None if it can't be kept."""
    found = solve_all(subject, keys, watch, limit_s=limit_s)
    return {
        (part, mean): _Solved.of(subject, part, solution) if isinstance(solution, Solution) else None
        for (part, mean), solution in found.items()
    }


def _point(
    operand: Operand, solved: Mapping[Wanted, _Solved | None], content: Wanted, quality: Wanted
) -> Point:
    one, two = solved[content], solved[quality]
    nan = float("nan")
    feasible = one is not None and two is not None
    return Point(
        operand=operand,
        ratio=content[1] / quality[1],
        content_budget=content[1],
        quality_budget=quality[1],
        feasible=feasible,
        mean_bits=(one.bits + two.bits) / (one.size + two.size) if one and two else nan,
        content_score=one.score if one else nan,
        quality_score=two.score if two else nan,
        objective=one.share + two.share if one and two else nan,
        proven=bool(one and two and one.proven and two.proven),
        on_frontier=False,
    )


def _marked(points: Sequence[Point]) -> tuple[Point, ...]:
    feasible = [number for number, point in enumerate(points) if point.feasible]
    best = frontier([(points[number].mean_bits, points[number].objective) for number in feasible])
    chosen = {feasible[index] for index in best}
    return tuple(replace(point, on_frontier=number in chosen) for number, point in enumerate(points))


def spaced(widths: Sequence[int], count: int) -> list[float]:
    """So many budgets, from the smallest width to the largest."""
    low, high = widths[0], widths[-1]
    return [low + (high - low) * step / (count - 1) for step in range(count)]
