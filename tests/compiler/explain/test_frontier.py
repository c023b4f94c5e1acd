from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.compiler.allocate.allocation import allocate
from mixdq.compiler.allocate.subject import PAPER_WIDTHS, Part, Subject
from mixdq.compiler.allocate.sweep import Point, grid, write_points
from mixdq.compiler.allocate.words import parse_widths
from mixdq.compiler.explain.case import Case
from mixdq.compiler.explain.explanation import Explanation, Extras
from mixdq.compiler.explain.frontier import Frontier
from mixdq.compiler.explain.points import read_points
from mixdq.configs.errors import EvaluationError, StorageError
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.sensitivity import PAPER_METRICS, Operand, SensitivityTable

MakePlan = Callable[..., PrecisionPlan]
MakeCase = Callable[..., Case]

CONV_IN = LayerName("conv_in")


@pytest.fixture(scope="module")
def subject(table: LayerTable, sensitivity: SensitivityTable) -> Subject:
    """With conv_in protected."""
    return Subject(table, sensitivity, PAPER_METRICS, PAPER_WIDTHS, 64, frozenset({CONV_IN}))


@pytest.fixture(scope="module")
def points(subject: Subject) -> tuple[Point, ...]:
    """Of both operands, five budgets a group."""
    return tuple(point for operand in Operand for point in grid(subject, operand, 5, lambda *_: None))


def _plan(subject: Subject, point: Point, other: Point) -> PrecisionPlan:
    """What the two pairs of budgets give."""
    budgets: dict[Part, float] = {}
    for one in (point, other):
        content, quality = (part for part in Part if part.operand is one.operand)
        budgets |= {content: one.content_budget, quality: one.quality_budget}
    return allocate(subject, budgets)[0].plan(bos_aware=True, split_shortcuts=True)


def test_points_are_read_as_they_were_written(points: tuple[Point, ...], tmp_path: Path) -> None:
    nowhere = replace(
        points[0],
        feasible=False,
        mean_bits=float("nan"),
        content_score=float("nan"),
        quality_score=float("nan"),
        objective=float("nan"),
        proven=False,
        on_frontier=False,
    )
    write_points(tmp_path / "points.csv", [*points, nowhere])
    *found, last = read_points(tmp_path / "points.csv")
    assert tuple(found) == points
    assert (last.feasible, last.content_budget) == (False, points[0].content_budget)


def test_a_plan_of_a_frontiers_point_lies_on_the_frontier(
    subject: Subject, points: tuple[Point, ...], make_case: MakeCase
) -> None:
    weights, activations = (
        [point for point in points if point.operand is operand and point.on_frontier]
        for operand in (Operand.WEIGHT, Operand.ACTIVATION)
    )
    pairs = [(weights[0], activations[0]), (weights[1], activations[1]), (weights[-1], activations[-1])]
    for wanted, other in [*pairs, *((two, one) for one, two in pairs)]:
        case = make_case(_plan(subject, wanted, other))
        own = Frontier.of(case, points, wanted.operand, PAPER_WIDTHS).own
        assert own.missing == ""
        assert own.mean_bits == pytest.approx(wanted.mean_bits)
        assert own.objective == pytest.approx(wanted.objective)
        assert own.below_frontier == pytest.approx(0, abs=1e-6)


def test_a_plan_that_the_search_beats_lies_below(
    points: tuple[Point, ...], make_case: MakeCase, make_plan: MakePlan
) -> None:
    # Four bits for conv_in and conv_out, the most sensitive, eight for all others.
    plan = make_plan("W8A8", {LayerName("conv_out"): "W4A8", CONV_IN: "W4A16"})
    own = Frontier.of(make_case(plan), points, Operand.WEIGHT, PAPER_WIDTHS).own
    assert own.mean_bits == pytest.approx((184 * 8 + 16 * 4) / 200)
    assert own.below_frontier is not None
    assert own.below_frontier > 0.01


@pytest.mark.parametrize(
    ("usual", "others", "operand", "said"),
    [
        ("W8A8", {}, Operand.ACTIVATION, "other sensitivities, metrics, widths or protected layers"),
        ("W6A8", {CONV_IN: "W6A16"}, Operand.WEIGHT, "other than 2, 4, 8, and 6 were not measured"),
        (
            "W8A8",
            {CONV_IN: "W2A16"},
            Operand.WEIGHT,
            "bits in quality.weight other than 4, 8; sweep again with ",
        ),
        (
            "W8A8",
            {CONV_IN: "W2A16"},
            Operand.WEIGHT,
            "with --widths quality.weight=2,4,8, and give `explain` the",
        ),
        ("W16A16", {}, Operand.WEIGHT, "quantizes no weight"),
        ("W8A8", {CONV_IN: "W16A16"}, Operand.WEIGHT, "4, 8, and 16 were not measured"),
        ("W8A16", {}, Operand.ACTIVATION, "quantizes no activation"),
    ],
)
def test_a_plan_that_can_not_be_placed_says_why(
    points: tuple[Point, ...],
    make_case: MakeCase,
    make_plan: MakePlan,
    usual: str,
    others: dict[LayerName, str],
    operand: Operand,
    said: str,
) -> None:
    found = Frontier.of(make_case(make_plan(usual, others)), points, operand, PAPER_WIDTHS)
    assert found.own.objective is None
    assert said in found.own.missing


def test_with_the_widths_that_the_refusal_names_a_plan_has_an_objective(
    subject: Subject, make_case: MakeCase, make_plan: MakePlan
) -> None:
    widths = parse_widths(["quality.weight=2,4,8"])
    swept = grid(replace(subject, widths=widths), Operand.WEIGHT, 5, lambda *_: None)
    case = make_case(make_plan("W8A8", {CONV_IN: "W2A16"}))
    assert Frontier.of(case, swept, Operand.WEIGHT, widths).own.objective is not None
    assert Frontier.of(case, swept, Operand.WEIGHT, PAPER_WIDTHS).own.objective is None


def test_without_sensitivities_the_plan_has_bits_and_no_objective(
    points: tuple[Point, ...], make_case: MakeCase, mixed: PrecisionPlan
) -> None:
    own = Frontier.of(make_case(mixed, None), points, Operand.WEIGHT, PAPER_WIDTHS).own
    assert own.mean_bits == pytest.approx(7.2)
    assert (own.objective, own.below_frontier) == (None, None)


def test_budgets_that_can_not_be_kept_are_named(
    points: tuple[Point, ...], make_case: MakeCase, mixed: PrecisionPlan
) -> None:
    nan = float("nan")
    first = replace(points[0], feasible=False, objective=nan, content_budget=1.5, on_frontier=False)
    extras = Extras(points=(first, *points[1:]))
    explained = Explanation.of(make_case(mixed), extras)
    weights = explained.frontiers[list(Operand).index(Operand.WEIGHT)]
    assert "weights: 1 of 25 can't be kept: content 1.5, quality 4" in list(weights.in_words())
    # What is not known of them is left out, and is no NaN, which JSON does not have.
    (infeasible,) = json.loads(explained.to_json())["frontiers"][0]["infeasible"]
    assert infeasible == {"ratio": points[0].ratio, "content_budget": 1.5, "quality_budget": 4}


_HEADER = (
    "operand,ratio,content_budget,quality_budget,feasible,mean_bits,content_score,quality_score,objective,"
    "proven,on_frontier\n"
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "found none"),
        ("a,b\n1,2\n", "found a, b; write it with `mixdq-compile allocate --sweep N`"),
        (_HEADER, "holds no points"),
        (_HEADER + "weight,1,2,4,True,3,0.5,0.5,1,True,maybe\n", "line 2 is no point of a sweep: 'maybe'"),
        (_HEADER + "bias,1,2,4,True,3,0.5,0.5,1,True,True\n", "'bias' is not a valid Operand"),
        (_HEADER + "weight,1,2,4,True,,0.5,0.5,1,True,True\n", "line 2 is no point"),
        (_HEADER + "weight,1,2,4,True,nan,0.5,0.5,1,True,True\n", "missing or not finite"),
        (_HEADER + "weight,1,2,4,True,3,0.5,0.5,1,True,True,9\n", "missing or not finite"),
        (_HEADER + "weight,1,2\n", "line 2 is no point"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "points.csv").write_text(text)
    with pytest.raises(EvaluationError) as refused:
        read_points(tmp_path / "points.csv")
    assert said in str(refused.value)


def test_what_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EvaluationError, match="is no CSV"):
        read_points(tmp_path / "points.csv")
    with pytest.raises(StorageError, match="could not read"):
        read_points(tmp_path / "none.csv")
