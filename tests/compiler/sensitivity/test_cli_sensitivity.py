"""The command as people run it: killed, interrupted, gone on with, and its errors."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.compiler.cli import main
from mixdq.compiler.sensitivity.journal import finished_layers
from mixdq.compiler.sensitivity.measure import measure
from mixdq.compiler.sensitivity.order import SensitivityOrder
from mixdq.configs.mixdq_format.scores import table_of_score_files
from mixdq.configs.sensitivity import Operand, SensitivityTable
from mixdq.export.layers import list_layers

Command = Callable[..., tuple[int, str, str]]
COMMAND = (sys.executable, "-c", "from mixdq.compiler.cli import main; main()")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `mixdq-compile`: its exit code, what it printed, and its error."""
    monkeypatch.setenv("COLUMNS", "300")

    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return run


def _words(order: SensitivityOrder, out: Path, *more: object) -> tuple[str, ...]:
    """The command of an order."""
    words: tuple[object, ...] = (
        *("sensitivity", order.source.choice.model, "--out", out, "--device", "cpu"),
        *("--resolution", order.resolution, "--seed", order.seed, "--prompts", out.parent / "prompts.txt"),
        *("--prompt-count", len(order.prompts), "--weight-widths", "2,4,8", "--activation-widths", "none"),
        *more,
    )
    return tuple(map(str, words))


@pytest.fixture
def asked(order: SensitivityOrder) -> SensitivityOrder:
    """An order whose prompts are in a file beside its table."""
    (order.out.parent / "prompts.txt").write_text("\n".join(order.prompts))
    return replace(order, widths={Operand.WEIGHT: (2, 4, 8)})


# The journal cuts off a torn line before it appends one: there the child waits until it is ended.
_WAITING = """
import sys, time
def wait(event, _):
    if event == "os.truncate" and open({journal!r}).read().count("\\n") > {layers}:
        time.sleep(600)
sys.addaudithook(wait)
"""


def _stopped(
    words: tuple[str, ...], journal: Path, layers: int, number: signal.Signals, folder: Path
) -> tuple[int, str]:
    """Starts a command and stops it as it holds so many finished layers: its exit code and stderr."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_WAITING.format(journal=str(journal), layers=layers))
    process = subprocess.Popen(
        [*COMMAND, *words],
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = ""
    while " layers" not in said and (line := process.stderr.readline()):
        said += line
    while process.poll() is None and finished_layers(journal) < layers:
        time.sleep(0.01)
    process.send_signal(number)
    _, error = process.communicate()
    return process.returncode, said + error


def test_a_killed_and_an_interrupted_run_go_on_to_the_same_bytes(
    asked: SensitivityOrder, tmp_path: Path
) -> None:
    whole = replace(asked, out=tmp_path / "whole" / "sensitivity.json")
    measure(lambda *_: None, whole)
    words = _words(asked, asked.out)
    code, error = _stopped(words, asked.journal, 2, signal.SIGKILL, tmp_path / "killed")
    assert (code, finished_layers(asked.journal)) == (-signal.SIGKILL, 2), error
    code, error = _stopped(words, asked.journal, 4, signal.SIGINT, tmp_path / "interrupted")
    assert (code, finished_layers(asked.journal)) == (130, 4), error
    assert f"measured 4 of 84 layers, kept in {asked.journal}" in error
    assert error.splitlines()[-1].startswith("error: interrupted;")
    with asked.journal.open("a") as torn:
        torn.write('{"layer": "conv_out", "sec')
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=True)
    assert "sensitivity: 4 of " in done.stderr
    assert "batches of prompts" not in done.stderr
    assert asked.out.read_bytes() == whole.out.read_bytes()
    assert not asked.journal.exists()


def test_a_part_and_then_all_and_mixdqs_files(
    asked: SensitivityOrder, command: Command, tmp_path: Path
) -> None:
    code, out, _ = command(*_words(asked, asked.out, "--no-bos-aware", "--sample", 4))
    layers = list_layers(asked.source, [64])
    assert code == 0
    assert f"measured 4 of {len(layers)} layers; all of them would take about" in out
    assert "layers/s" in out
    assert finished_layers(asked.journal) == 4
    assert '"bos_aware": false' in asked.journal.read_text().splitlines()[0]
    code, out, _ = command(*_words(asked, asked.out, "--no-bos-aware", "--mixdq", tmp_path / "mixdq"))
    assert code == 0
    assert "most sensitive weights of quality layers, sqnr_db" in out
    assert f"written: {asked.out}" in out
    table = SensitivityTable.read(asked.out)
    files = sorted((tmp_path / "mixdq").iterdir())
    assert [file.name for file in files] == ["weight_sqnr.yaml", "weight_ssim.yaml"]
    again = table_of_score_files(files, layers)
    for metric, scores in again.scores[Operand.WEIGHT].items():
        assert scores == table.scores[Operand.WEIGHT][metric]
    before = asked.out.read_bytes()
    code, out, _ = command(*_words(asked, asked.out, "--no-bos-aware"))
    assert (code, out) == (0, f"{asked.out} holds this table already; --restart measures again\n")
    code, out, error = command(*_words(asked, asked.out))
    assert (code, out) == (2, "")
    assert "another measurement (bos aware False, now True); give another --out" in error.splitlines()[-1]
    assert asked.out.read_bytes() == before
    assert not asked.journal.exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--prompt-count", 2), "holds 1 prompts, and 2 were asked for"),
        (("--weight-widths", "1,2"), "--weight-widths '1,2' are no widths"),
        (("--weight-widths", "none"), "both operands are left out"),
        (("--weight-widths", "4", "--mixdq", "x"), "--weight-widths lacks 2, 8"),
        (("--resolution", 100), "resolution 100 is not a multiple of 16"),
        (("--seed", -1), "seed -1 is out of bounds"),
        (("--ranges", "nowhere.json"), "nowhere.json does not exist"),
        (("--vae-precision", "float8"), "--vae-precision is one of"),
    ],
)
def test_bad_input_is_one_line_before_any_work(
    asked: SensitivityOrder, command: Command, more: tuple[object, ...], words: str
) -> None:
    code, _, error = command(*_words(asked, asked.out, *more))
    assert code == 2
    assert error.startswith("error: ")
    assert words in error
    assert error.count("\n") == 1
    assert not asked.journal.exists()
