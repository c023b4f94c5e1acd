from __future__ import annotations

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.eval.ablation.cases import CASES, FULL, Case, Step, choose_cases, previous


def _case(name: str) -> Case:
    (case,) = (case for case in CASES if case.name == name)
    return case


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) == 21
    assert _case("w3.66a16-mixdq").label == "W3.66A16 + decoupled: MixDQ"


def test_the_paper_s_table_3_is_among_the_rows() -> None:
    names = ("full", "w8a8-naive", "w8a8-bos", "w8a8-mixed", "w8a8-mixdq")
    assert [(_case(name).paper_fid or (0, ""))[0] for name in names] == [17.15, 103.96, 31.65, 37.35, 17.03]


def test_the_rows_by_lost_noise_have_no_figure_of_the_paper_s() -> None:
    assert [case.paper_fid for case in CASES if case.step is Step.NOISE] == [None] * 4


def test_rows_are_chosen_by_name_and_by_budget_in_the_table_s_order() -> None:
    chosen = choose_cases("W4A16, w8a8-naive")
    assert [case.name for case in chosen] == [
        *("full", "w8a8-naive", "w4a16-naive", "w4a16-mixdq", "w4a16-noise")
    ]


def test_full_precision_is_always_a_row_because_the_others_are_compared_with_it() -> None:
    assert choose_cases("w5a8-mixdq")[0] is FULL
    assert choose_cases("full") == (FULL,)


def test_an_unknown_row_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(
        EvaluationError, match=r"names w6a8; the rows are full, w8a16-naive.* w3\.66a16 names"
    ):
        choose_cases("w8a8,w6a8")


def test_the_step_before_is_the_same_budget_s() -> None:
    assert previous(_case("w8a8-mixed")) == _case("w8a8-bos")
    assert previous(_case("w8a8-naive")) is None
    assert previous(_case("w4a8-noise")) == _case("w4a8-mixdq")
    assert previous(_case("w4a16-mixdq")) == _case("w4a16-naive")
    assert previous(_case("w3.66a16-mixdq")) is None
    assert [case.step for case in CASES if previous(case) is None and case.step is Step.BOS] == []
