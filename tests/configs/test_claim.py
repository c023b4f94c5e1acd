"""The claims that ship: all hundred, each decided by something, and files that are none refused."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from mixdq.configs.claim import Figure, ShownBy, named_commands, named_tests, read_claims
from mixdq.configs.errors import EvaluationError

CHECK = {"what": "it holds", "rule": {"tests": ["tests/x.py::test_it"]}}
BOTH = {"document": "grids", "take": "x", "over": {}, "minus": {}}
CLAIM: Mapping[str, object] = {
    "number": 1,
    "source": "paper",
    "says": "it holds",
    "tier": 0,
    "command": "mixdq-eval structure --out FILE",
    "checks": [CHECK],
}


def _write(folder: Path, name: str, *claims: Mapping[str, object]) -> None:
    (folder / name).write_text(yaml.safe_dump({"claims": [dict(claim) for claim in claims]}))


def test_all_hundred_ship_in_their_order() -> None:
    assert [claim.number for claim in read_claims()] == list(range(1, 101))


def test_files_of_a_folder_are_put_together_by_number(tmp_path: Path) -> None:
    _write(tmp_path, "a.yaml", {**CLAIM, "number": 2})
    _write(tmp_path, "b.yaml", CLAIM)
    assert [claim.number for claim in read_claims(tmp_path)] == [1, 2]


def test_a_rule_is_known_by_its_fields(tmp_path: Path) -> None:
    figure = {"document": "grids", "take": "x", "at_most": 1, "where": {"a": [1, "b*"], "c": None}}
    _write(tmp_path, "a.yaml", {**CLAIM, "checks": [CHECK, {"what": "small", "rule": figure}]})
    (claim,) = read_claims(tmp_path)
    assert [type(check.rule) for check in claim.checks] == [ShownBy, Figure]
    assert claim.checks[1].rule == Figure("grids", "x", where={"a": (1, "b*"), "c": None}, at_most=1)


def test_tests_and_commands_are_named_once(tmp_path: Path) -> None:
    again = {**CHECK, "command": "make test"}
    _write(tmp_path, "a.yaml", {**CLAIM, "checks": [CHECK, again]}, {**CLAIM, "number": 2})
    claims = read_claims(tmp_path)
    assert named_tests(claims) == ("tests/x.py::test_it",)
    assert named_commands(claims) == ("mixdq-eval structure --out FILE", "make test")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"checks": []}, "claim 1 has no check that decides it"),
        ({"checks": [{**CHECK, "beside": True}]}, "claim 1 has no check that decides it"),
        ({"checks": [{"what": "x", "rule": {"tests": ["it holds"]}}]}, "are no names of tests"),
        ({"checks": [{"what": "x", "rule": {"document": "grids", "take": "x"}}]}, "has no bound"),
        ({"checks": [{"what": "x", "rule": {**BOTH, "at_most": 1}}]}, "has both over and minus"),
        ({"state": "met"}, "state"),
        ({"number": "one"}, "number"),
    ],
)
def test_a_claim_that_is_none_is_refused(change: dict[str, object], said: str, tmp_path: Path) -> None:
    _write(tmp_path, "a.yaml", {**CLAIM, **change})
    with pytest.raises(EvaluationError, match=said):
        read_claims(tmp_path)


def test_a_number_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "a.yaml", CLAIM)
    _write(tmp_path, "b.yaml", CLAIM)
    with pytest.raises(EvaluationError, match="claim 1 is there twice"):
        read_claims(tmp_path)
