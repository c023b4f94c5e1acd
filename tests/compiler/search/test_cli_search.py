"""The command on an untrained model of emoji-turbo's form: its figures mean nothing, but they are figures."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixdq.compiler.allocate.opening import open_subject
from mixdq.compiler.cli import main
from mixdq.compiler.search import opening, searching
from mixdq.compiler.search.candidates import candidates
from mixdq.compiler.search.judging import JudgeOrder
from mixdq.compiler.search.searching import Forms, run_search
from mixdq.compiler.torch_stages import CalibrationOrder, calibrate_layers
from mixdq.compiler.worker import Finished, Report
from mixdq.configs.layers import LayerTable
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.sensitivity import PAPER_METRICS, Objective, Operand, SensitivityTable
from mixdq.configs.target import Dialect
from mixdq.export.judgement import Measure
from mixdq.export.layers import list_layers
from mixdq.export.source import open_source


@pytest.fixture(scope="module")
def tiny_table(tiny_model: Path) -> LayerTable:
    return list_layers(open_source(ModelChoice(str(tiny_model))), (64,))


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Path,
    tiny_table: LayerTable,
    make_sensitivity: Callable[[LayerTable], SensitivityTable],
) -> Path:
    """A folder with `sensitivity.json`, `ranges.json` and 32 prompts."""
    folder = tmp_path_factory.mktemp("search")
    calibration = CalibrationOrder(open_source(ModelChoice(str(tiny_model))), ("a red apple",), 0, (64,), 1)
    calibrate_layers(_report, calibration, tiny_table).write(folder / "ranges.json")
    make_sensitivity(tiny_table).write(folder / "sensitivity.json")
    (folder / "prompts.txt").write_text("".join(f"red apple {number}\n" for number in range(32)))
    return folder


def _words(model: Path, files: Path, *more: object) -> tuple[object, ...]:
    options = ("--sensitivity", files / "sensitivity.json", "--prompts", files / "prompts.txt")
    return ("search", model, *options, "--resolution", 64, "--device", "cpu", *more)


def _report(phase: str, done: int, total: int | None) -> None:
    """To nobody."""


def _watch(done: int, total: int) -> None:
    """Nobody does."""


def _here(function: Callable[..., Any], *words: object, report: Report = _report) -> Finished[Any]:
    """The work of a child, in this process, where torch is loaded already."""
    return Finished(function(report, *words), 0.0, 0.0)


def _run(words: tuple[object, ...]) -> object:
    """The command's exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_best_candidate_is_written_beside_the_list_of_all(
    tiny_model: Path,
    tiny_table: LayerTable,
    files: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Of the two children only the one that judges is started: each loads torch.
    monkeypatch.setattr(opening, "child_on_terminal", lambda _, *work: _here(*work))
    out = tmp_path / "plan.yaml"
    budgets = ("--weight-bits", 5, "--ratios", "0.5:1.2:2", "--out", out)
    code = _run(_words(tiny_model, files, *budgets, "--ranges", files / "ranges.json"))
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert "2 plans, 0 of them judged before" in printed.out
    plan = PrecisionPlan.read(out)
    plan.check(tiny_table)
    rows = _rows(tmp_path / "plan.candidates.csv")
    (chosen,) = (row for row in rows if row["chosen"] == "True")
    assert chosen["plan"] == plan.digest
    assert len(rows) == 2
    assert float(chosen["psnr_db"]) == max(float(row["psnr_db"]) for row in rows)
    assert len((tmp_path / "plan.yaml.judged").read_text().splitlines()) == 1 + len(rows)
    assert not (tmp_path / "plan.ranges.json").exists()  # none were measured


def test_baselines_are_judged_beside_and_never_chosen(
    tiny_model: Path, tiny_table: LayerTable, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "run_in_child", _here)
    order = JudgeOrder(
        source=open_source(ModelChoice(str(tiny_model))),
        table=tiny_table,
        ranges=RangeTable.read(files / "ranges.json"),
        prompts=("a red apple",),
        seed=0,
        resolution=64,
        dialect=Dialect.ORT,
        device="cpu",
        batch=None,
        out=tmp_path / "plan.yaml",
        restart=True,
    )
    scores = [files / "sensitivity.json"]
    subject = open_subject(tiny_table, scores, (), PAPER_METRICS, 0.01, 64, Objective.SCORES)
    optima = candidates(subject, 5, 8, {Operand.WEIGHT: (0.5, 1.2), Operand.ACTIVATION: (1.0,)}, _watch)
    list(run_search(order, optima, Forms(bos_aware=True, split_shortcuts=True), Measure.PSNR, 1))
    rows = _rows(tmp_path / "plan.candidates.csv")
    assert [row["kind"] for row in rows[2:]] == ["random 0", "perturbed 0", "sorted", "uniform", "sqnr"]
    assert all(row["psnr_db"] for row in rows)
    assert [row["chosen"] for row in rows[2:]] == ["False"] * 5
    assert len(order.journal.read_text().splitlines()) == 1 + len({row["plan"] for row in rows})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--weight-bits", 5, "--prompt-count", 31), "at least 32 prompts, and 31 were asked for"),
        (("--weight-bits", 5, "--prompt-count", 33), "holds 32 prompts, and 33 were asked for"),
        ((), "give one of them"),
        (("--grid", 3, "--weight-bits", 5), "give one of them"),
        (("--grid", 3, "--baselines"), "leave out one"),
        (("--weight-bits", 5, "--batch", 0), "--batch 0"),
    ],
)
def test_bad_input_is_refused_before_long_work(
    words: tuple[object, ...],
    message: str,
    tiny_model: Path,
    files: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = _words(tiny_model, files, *words, "--out", tmp_path / "plan.yaml")
    assert _run(asked) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
