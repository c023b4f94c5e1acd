"""The command on an untrained model of emoji-turbo's form: its figures mean nothing, but they are figures."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mixdq.compiler.cli import main
from mixdq.configs.layers import LayerTable
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.sensitivity import SensitivityTable
from mixdq.export.layers import list_layers
from mixdq.export.source import open_source

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def tiny_table(tiny_model: Path) -> LayerTable:
    return list_layers(open_source(ModelChoice(str(tiny_model))), (64,))


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_table: LayerTable,
    make_sensitivity: Callable[[LayerTable], SensitivityTable],
) -> Path:
    """A folder with `sensitivity.json` and 32 prompts."""
    folder = tmp_path_factory.mktemp("search")
    make_sensitivity(tiny_table).write(folder / "sensitivity.json")
    (folder / "prompts.txt").write_text("".join(f"red apple {number}\n" for number in range(32)))
    return folder


def _words(model: Path, files: Path, *more: object) -> tuple[object, ...]:
    options = ("--sensitivity", files / "sensitivity.json", "--prompts", files / "prompts.txt")
    return ("search", model, *options, "--resolution", 64, "--device", "cpu", *more)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_best_candidate_is_written_beside_the_list_of_all(
    tiny_model: Path, tiny_table: LayerTable, files: Path, mixdq_compile: Command, tmp_path: Path
) -> None:
    out = tmp_path / "plan.yaml"
    budgets = ("--weight-bits", 5, "--ratios", "0.5:1.2:2", "--out", out)
    done = mixdq_compile(*_words(tiny_model, files, *budgets, "--baselines", "--baseline-seeds", 1))
    assert done.returncode == 0, done.stderr
    assert "2 plans, 0 of them judged before" in done.stdout
    plan = PrecisionPlan.read(out)
    plan.check(tiny_table)
    optima, others = (rows := _rows(tmp_path / "plan.candidates.csv"))[:2], rows[2:]
    (chosen,) = (row for row in rows if row["chosen"] == "True")
    assert chosen["plan"] == plan.digest
    assert chosen in optima
    assert float(chosen["psnr_db"]) == max(float(row["psnr_db"]) for row in optima)
    assert [row["kind"] for row in others] == ["random 0", "perturbed 0", "sorted", "uniform", "sqnr"]
    assert all(row["psnr_db"] for row in rows)
    assert len((tmp_path / "plan.yaml.judged").read_text().splitlines()) == 1 + len(rows)
    assert (tmp_path / "plan.ranges.json").exists()


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
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in asked])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
