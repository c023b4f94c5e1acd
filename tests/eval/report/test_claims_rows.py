"""Documents as flat rows."""

from dataclasses import dataclass, field
from enum import StrEnum

from mixdq.configs.claim import Wanted
from mixdq.eval.report.claims_rows import Row, matching, number, rows_of


class _Way(StrEnum):
    FAST = "fast"


@dataclass(frozen=True)
class _Score:
    metric: str
    value: float


@dataclass(frozen=True)
class _Row:
    name: str
    scores: tuple[_Score, ...]
    way: _Way = _Way.FAST
    costs: dict[str, int] = field(default_factory=lambda: {"bits": 8})


@dataclass(frozen=True)
class _Table:
    model: _Score
    rows: tuple[_Row, ...]


TABLE = _Table(
    _Score("emoji", 1.0),
    (
        _Row("full", (_Score("FID", 16.0), _Score("SSIM", 1.0))),
        _Row("naive", (_Score("FID", 200.0),)),
    ),
)


def test_inner_rows_have_what_is_around_them() -> None:
    rows = list(rows_of(TABLE, "rows.scores"))
    assert [(row["name"], row["metric"], row["value"]) for row in rows] == [
        ("full", "FID", 16.0),
        ("full", "SSIM", 1.0),
        ("naive", "FID", 200.0),
    ]
    assert {(row["model.metric"], row["way"], row["costs.bits"]) for row in rows} == {("emoji", "fast", 8)}


def test_a_list_is_its_rows_and_a_document_without_lists_is_one() -> None:
    assert list(rows_of([{"a": 1}, {"a": 2}], "")) == [{"a": 1}, {"a": 2}]
    assert next(rows_of({"seconds": 3.5, "stages": [{"name": "a"}]}, ""))["seconds"] == 3.5
    assert list(rows_of({"seconds": 3.5}, "rows")) == []


def test_a_list_of_numbers_has_a_mean_and_parts() -> None:
    (row,) = rows_of({"ssim": [1.0, 0.5], "fid": [103.96, "table 3"], "none": []}, "")
    assert row == {"ssim.0": 1.0, "ssim.1": 0.5, "ssim.mean": 0.75, "fid.0": 103.96, "fid.1": "table 3"}


def test_rows_match_by_value_pattern_or_one_of_several() -> None:
    rows: list[Row] = [{"name": "w8a8", "size": 512, "budget": None}, {"name": "full", "size": 768}]
    found: dict[str, dict[str, Wanted]] = {
        "pattern": {"name": "w*"},
        "several": {"size": (512, 1024)},
        "none": {"budget": None, "size": 512},
        "value": {"size": 512.0},
    }
    assert all(list(matching(iter(rows), where)) == rows[:1] for where in found.values())
    assert list(matching(iter(rows), {"name": "w4*"})) == []


def test_a_number_is_one_or_none() -> None:
    assert number({"a": 3}, "a") == 3.0
    assert number({"a": "3"}, "a") is None
    assert number({}, "a") is None
