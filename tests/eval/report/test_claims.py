"""What documents say to a claim: met, unmet and by how much, or not measured and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from mixdq.configs.claim import Check, Claim, Figure, Lacking, NotHere, ShownBy, Wanted
from mixdq.configs.files import sha256_of_text
from mixdq.eval.report.claims import judge_claims
from mixdq.eval.report.claims_page import claims_page, counts_in_words
from mixdq.eval.report.claims_verdict import State, Verdict

TIMES = [
    {"way": "half", "size": 512, "ms": 9.0},
    {"way": "half", "size": 1024, "ms": 18.0},
    {"way": "int8", "size": 512, "ms": 6.0},
    {"way": "int8", "size": 1024, "ms": 15.0},
]
SPEED_UP = Figure("times", "ms", where={"way": "half"}, over={"way": "int8"}, by=("size",), at_least=1.4)
TEST = "tests/a.py::test_b"


@dataclass(frozen=True)
class _Document:
    name: str
    content: object

    @property
    def sha256(self) -> str:
        return sha256_of_text(self.name)


@dataclass(frozen=True)
class _Found:
    kind: str = "times"
    content: object = None

    def documents(self) -> Iterator[tuple[str, _Document]]:
        if self.content is not None:
            yield self.kind, _Document("folder/times.csv", self.content)


def _claim(*checks: Check) -> Claim:
    return Claim(7, "paper, table 1", "INT8 is faster", 2, "make it", checks, theirs="1.5")


def _judge(found: _Found, *checks: Check) -> Verdict:
    (verdict,) = judge_claims(found, [_claim(*checks)])
    return verdict


def test_a_ratio_is_of_the_rows_that_belong_together_and_the_worst_counts() -> None:
    verdict = _judge(_Found(content=TIMES), Check("speed-up", SPEED_UP))
    assert verdict.state is State.UNMET
    assert verdict.ours == "speed-up: 1.2 (the least of 2)"
    assert verdict.by_how_much == "speed-up: 0.2 less than the least that is right, 1.4"
    assert verdict.evidence == f"folder/times.csv (sha256 {sha256_of_text('folder/times.csv')[:12]})"


def test_the_same_rows_meet_a_bound_that_they_keep() -> None:
    figure = Figure("times", "ms", where={"way": "int8"}, at_most=15.0, unit="ms")
    verdict = _judge(_Found(content=TIMES), Check("time", figure))
    assert (verdict.state, verdict.ours, verdict.by_how_much) == (
        State.MET,
        "time: 15 ms (the most of 2)",
        "",
    )


def test_a_difference_may_go_either_way_within_its_bounds() -> None:
    where: dict[str, Wanted] = {"way": "int8", "size": 512}
    figure = Figure("times", "ms", where=where, minus={"way": "half"}, at_least=-1.0, at_most=1.0)
    verdict = _judge(_Found(content=TIMES), Check("difference", figure))
    assert verdict.by_how_much == "difference: 2 less than the least that is right, -1"


def test_fields_of_one_row_are_subtracted_and_divided() -> None:
    row = {"before": 4.0, "after": 10.0, "of": 3}
    figure = Figure("times", "after", less="before", per="of", at_least=2.5)
    verdict = _judge(_Found(content=[row]), Check("gain", figure))
    assert (verdict.ours, verdict.state) == ("gain: 2", State.UNMET)


def test_a_figure_in_no_folder_is_not_found_or_not_measurable_here() -> None:
    for found in (_Found(), _Found(content=[{"way": "other", "ms": 1.0}]), _Found("other", TIMES)):
        assert _judge(found, Check("speed-up", SPEED_UP)).state is State.NOT_FOUND
        verdict = _judge(found, Check("speed-up", SPEED_UP, needs="a GPU"))
        assert (verdict.state, verdict.ours) == (State.NOT_MEASURABLE, "speed-up: needs a GPU")


def test_a_document_that_is_there_is_judged_whatever_it_needed() -> None:
    assert _judge(_Found(content=TIMES), Check("speed-up", SPEED_UP, needs="a GPU")).state is State.UNMET


def test_a_row_without_the_figure_is_none() -> None:
    verdict = _judge(
        _Found(content=[{"way": "half", "ms": None}]), Check("time", Figure("times", "ms", at_most=1))
    )
    assert verdict.state is State.NOT_FOUND


def test_tests_show_and_what_is_lacking_is_unmet() -> None:
    shown = _judge(_Found(), Check("it holds", ShownBy((TEST,))))
    assert (shown.state, shown.ours, shown.evidence) == (State.MET, "shown by 1 test", TEST)
    lacking = _judge(_Found(), Check("it holds", Lacking("there is no command")))
    assert (lacking.state, lacking.by_how_much) == (State.UNMET, "it holds: there is no command")


@pytest.mark.parametrize(
    ("rules", "state"),
    [
        ((ShownBy((TEST,)), NotHere("weights"), Lacking("x")), State.UNMET),
        ((ShownBy((TEST,)), SPEED_UP, NotHere("weights")), State.NOT_MEASURABLE),
        ((ShownBy((TEST,)), SPEED_UP), State.NOT_FOUND),
        ((ShownBy((TEST,)), ShownBy((TEST,))), State.MET),
    ],
)
def test_a_claim_stands_as_its_gravest_check(
    rules: tuple[ShownBy | Figure | NotHere | Lacking, ...], state: State
) -> None:
    assert _judge(_Found(), *(Check("x", rule) for rule in rules)).state is state


def test_what_is_beside_decides_nothing_and_is_shown() -> None:
    beside = Check("speed-up elsewhere", SPEED_UP, beside=True)
    verdict = _judge(_Found(content=TIMES), Check("it holds", ShownBy((TEST,))), beside)
    assert (verdict.state, verdict.by_how_much) == (State.MET, "")
    assert verdict.ours == "speed-up elsewhere: 1.2 (the least of 2); shown by 1 test"


def test_the_page_has_theirs_and_ours_and_by_how_much() -> None:
    verdict = _judge(_Found(content=TIMES), Check("speed-up", SPEED_UP, command="time it"))
    page = claims_page([verdict], "mixdq-eval claims results")
    assert "**0 met, 1 unmet, 0 not measurable here, 0 not in these folders, of 1 claims.**" in page
    assert "| [7](#7) | INT8 is faster | speed-up: 0.2 less than the least that is right, 1.4 |" in page
    assert "- theirs: 1.5" in page
    assert "- speed-up: unmet: 1.2 (the least of 2); 0.2 less than the least that is right, 1.4" in page
    assert "  - `time it`" in page
    assert "- `make it`" in page
    assert counts_in_words([verdict]).startswith("0 met, 1 unmet")


def test_every_shipped_claim_has_a_verdict_on_nothing_at_all() -> None:
    verdicts = judge_claims(_Found())
    assert [verdict.claim.number for verdict in verdicts] == list(range(1, 101))
    page = claims_page(verdicts, "mixdq-eval claims results")
    assert all(f'<a id="{number}"></a>' in page for number in range(1, 101))


def test_a_ratio_over_nothing_is_infinite_and_shown() -> None:
    rows = [{"way": "half", "size": 1, "ms": 1.0}, {"way": "int8", "size": 1, "ms": 0.0}]
    assert _judge(_Found(content=rows), Check("speed-up", SPEED_UP)).ours == "speed-up: inf"
