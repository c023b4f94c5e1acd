from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.compiler.search.journal import Conditions, Journal, Judged
from mixdq.compiler.sensitivity import journal_file as module
from mixdq.configs.errors import EvaluationError, MachineError
from mixdq.export.judgement import Fidelity

MakeFidelity = Callable[[float], Fidelity]


def _write(path: Path, conditions: Conditions, *judged: Judged) -> None:
    with Journal.open(path, restart=False) as journal:
        journal.begin(conditions)
        for each in judged:
            journal.add(each)


def test_what_was_judged_is_there_again(
    tmp_path: Path, conditions: Conditions, make_fidelity: MakeFidelity
) -> None:
    path = tmp_path / "folder/plan.yaml.judged"
    _write(path, conditions, Judged("a", make_fidelity(1.5)))
    _write(path, conditions, Judged("b", make_fidelity(1 / 3)))
    with Journal.open(path, restart=False) as journal:
        assert journal.conditions == conditions
        assert journal.done == {"a": make_fidelity(1.5), "b": make_fidelity(1 / 3)}


def test_a_line_that_was_cut_off_is_judged_again(
    tmp_path: Path, conditions: Conditions, make_fidelity: MakeFidelity
) -> None:
    path = tmp_path / "journal"
    _write(path, conditions, Judged("a", make_fidelity(1)), Judged("b", make_fidelity(2)))
    path.write_bytes(path.read_bytes()[:-7])
    _write(path, conditions, Judged("c", make_fidelity(3)))
    with Journal.open(path, restart=False) as journal:
        assert set(journal.done) == {"a", "c"}


def test_plans_judged_otherwise_are_refused_and_what_differs_is_named(
    tmp_path: Path, conditions: Conditions, make_fidelity: MakeFidelity
) -> None:
    path = tmp_path / "journal"
    _write(path, conditions, Judged("a", make_fidelity(1)))
    other = replace(conditions, prompts=64, resolution=128)
    with (
        Journal.open(path, restart=False) as journal,
        pytest.raises(EvaluationError, match=r"prompts 32, now 64; resolution 64, now 128.*--restart"),
    ):
        journal.begin(other)
    with Journal.open(path, restart=True) as journal:
        journal.begin(other)
        assert not journal.done


@pytest.mark.parametrize("damage", ["{", '{"plan": "b"}'])
def test_a_damaged_line_is_refused(
    tmp_path: Path, conditions: Conditions, make_fidelity: MakeFidelity, damage: str
) -> None:
    path = tmp_path / "journal"
    _write(path, conditions, Judged("a", make_fidelity(1)), Judged("b", make_fidelity(2)))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], damage, lines[2]]) + "\n")
    with pytest.raises(EvaluationError, match="line 2"), Journal.open(path, restart=False):
        pass


def test_a_last_line_that_a_power_cut_spoiled_is_judged_again(
    tmp_path: Path, conditions: Conditions, make_fidelity: MakeFidelity
) -> None:
    path = tmp_path / "journal"
    _write(path, conditions, Judged("a", make_fidelity(1)))
    path.write_bytes(path.read_bytes() + b"\0\0\0\n")
    _write(path, conditions, Judged("b", make_fidelity(2)))
    with Journal.open(path, restart=False) as journal:
        assert set(journal.done) == {"a", "b"}


def test_two_processes_do_not_write_one_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.0)
    path = tmp_path / "journal"
    with (
        Journal.open(path, restart=False),
        pytest.raises(MachineError, match="another mixdq process"),
        Journal.open(path, restart=False),
    ):
        pass


def test_a_journal_that_stays_empty_is_removed_however_the_work_ended(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal.open(path, restart=False):
        pass
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt), Journal.open(path, restart=False):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
