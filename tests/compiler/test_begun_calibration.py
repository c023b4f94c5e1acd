"""A calibration that is stopped goes on at its prompt, and finds what an uninterrupted one does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mixdq.compiler.torch_stages import CalibrationOrder, make_layers, make_ranges
from mixdq.configs.model_choice import ModelChoice
from mixdq.export.source import open_source

Command = Callable[..., subprocess.CompletedProcess[str]]
_PROMPTS = tuple(f"a red apple, number {number}" for number in range(30))  # 4 batches


@pytest.fixture(scope="module")
def order(tiny_model: Path) -> CalibrationOrder:
    return CalibrationOrder(open_source(ModelChoice(str(tiny_model))), _PROMPTS, 0, (64,), 1)


@pytest.fixture(scope="module")
def layers(order: CalibrationOrder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("layers") / "layers.json"
    make_layers(lambda *_: None, order.source, order.resolutions, path)
    return path


@pytest.fixture(scope="module")
def whole(order: CalibrationOrder, layers: Path) -> bytes:
    """The ranges of an uninterrupted calibration."""
    _, path = _calibrate(order, layers, layers.parent)
    return path.read_bytes()


def test_a_stopped_calibration_goes_on_and_writes_the_same_bytes(
    order: CalibrationOrder, layers: Path, whole: bytes, tmp_path: Path
) -> None:
    for batches in (2, 3, 4):
        with pytest.raises(KeyboardInterrupt):
            _calibrate(order, layers, tmp_path, stop_after=batches)
        assert _begun(tmp_path)["seen"]["batches"] == batches
    ran, path = _calibrate(order, layers, tmp_path)
    assert ran == []
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


def test_each_batch_is_run_once(order: CalibrationOrder, layers: Path, whole: bytes, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _calibrate(order, layers, tmp_path, stop_after=2)
    ran, path = _calibrate(order, layers, tmp_path)
    assert ran == [3, 4]
    assert path.read_bytes() == whole


def test_what_another_calibration_began_or_damaged_is_begun_anew(
    order: CalibrationOrder, layers: Path, whole: bytes, tmp_path: Path
) -> None:
    others = (
        replace(order, seed=1),
        replace(order, prompts=(*_PROMPTS[:-1], "rocket")),
        replace(order, steps=2),
        replace(order, resolutions=(64, 128)),
    )
    for other in others:
        with pytest.raises(KeyboardInterrupt):
            _calibrate(other, layers, tmp_path, stop_after=1)
        assert _calibrate(order, layers, tmp_path)[0] == [1, 2, 3, 4]
    (tmp_path / "ranges.json.begun").write_text('{"conditions"')
    ran, path = _calibrate(order, layers, tmp_path)
    assert ran == [1, 2, 3, 4]
    assert path.read_bytes() == whole


@pytest.mark.parametrize("command", ["calibrate", "run"])
def test_ctrl_c_keeps_what_was_found_and_the_same_command_goes_on(
    command: str,
    tiny_model: Path,
    tiny_copy: Path,
    tmp_path: Path,
    start_mixdq_compile: Callable[..., subprocess.Popen[str]],
    mixdq_compile: Command,
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(f"a sleepy cat, number {number}" for number in range(240)))
    calibrates = command == "calibrate"
    out = tmp_path / "ranges.json" if calibrates else tiny_copy
    ranges = out if calibrates else out / "work" / "ranges.json"
    words = (command, tiny_model, "--resolution", 64, "--prompts", prompts, "--prompt-count", 240)
    process = start_mixdq_compile(*words, "--out", out)
    _wait_for(ranges.with_name("ranges.json.begun"), process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    kept = _begun(ranges.parent)
    assert 0 < kept["seen"]["batches"] < 30
    # A value that no prompt reaches shows that the second command began with what the first one found.
    kept["seen"]["bos_range"]["maximum"] = 12345.0
    ranges.with_name("ranges.json.begun").write_text(json.dumps(kept))
    done = mixdq_compile(*words, "--out", out)
    assert done.returncode == 0, done.stderr
    assert json.loads(ranges.read_text())["bos_range"]["maximum"] == 12345.0
    assert not ranges.with_name("ranges.json.begun").exists()


def _calibrate(
    order: CalibrationOrder, layers: Path, folder: Path, stop_after: int | None = None
) -> tuple[list[int], Path]:
    """The batches that were run, by number, and the file of the ranges."""
    ran: list[int] = []

    def report(phase: str, done: int, total: int | None) -> None:
        if total is not None:
            ran.append(done)
            if done == stop_after:
                raise KeyboardInterrupt

    path = folder / "ranges.json"
    make_ranges(report, order, layers, path)
    return ran, path


def _begun(folder: Path) -> Any:
    return json.loads((folder / "ranges.json.begun").read_text())


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Waits until a file is there, a minute at most."""
    for _ in range(6000):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError(f"{path} was not written")
