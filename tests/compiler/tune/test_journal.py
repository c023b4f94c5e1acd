from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.compiler.tune.journal import Conditions, Journal
from mixdq.compiler.tune.trial import Trial
from mixdq.configs.errors import EvaluationError

CONDITIONS = Conditions(
    model="emoji-turbo",
    model_digest="1",
    layers_digest="2",
    ranges_digest="3",
    target="cpu",
    resolutions=(128, 256),
    batch=1,
    prompts=("a red apple",),
    seed=0,
    warmup=5,
    repeats=30,
    full={"onnx/ort/unet-128.onnx": "4"},
    machine={"processor": "some"},
    versions={"onnxruntime": "1.31.1"},
    code="5",
)


def test_a_trial_is_read_back_as_it_was_measured(tmp_path: Path, make_trial: Callable[..., Trial]) -> None:
    trial = make_trial({"a": 3.0}, clipped={"a": 0.25}, plan="one")
    with Journal.open(tmp_path / "measured", restart=False) as journal:
        journal.begin(CONDITIONS)
        journal.add(trial)
        journal.add(make_trial({"a": 1.0}, plan="two"))
        journal.add(replace(trial, bytes=7))
    with Journal.open(tmp_path / "measured", restart=False) as journal:
        journal.begin(CONDITIONS)
        assert journal.trials["one"] == replace(trial, bytes=7)
        assert set(journal.trials) == {"one", "two"}


def test_a_line_that_was_not_finished_is_measured_again(
    tmp_path: Path, make_trial: Callable[..., Trial]
) -> None:
    path = tmp_path / "measured"
    with Journal.open(path, restart=False) as journal:
        journal.begin(CONDITIONS)
        journal.add(make_trial({"a": 3.0}, plan="one"))
        journal.add(make_trial({"a": 3.0}, plan="two"))
    path.write_bytes(path.read_bytes()[:-10])
    with Journal.open(path, restart=False) as journal:
        journal.begin(CONDITIONS)
        assert set(journal.trials) == {"one"}


def test_what_was_measured_otherwise_is_refused_unless_dropped(
    tmp_path: Path, make_trial: Callable[..., Trial]
) -> None:
    path = tmp_path / "measured"
    with Journal.open(path, restart=False) as journal:
        journal.begin(CONDITIONS)
        journal.add(make_trial({"a": 3.0}, plan="one"))
    other = replace(CONDITIONS, repeats=40, machine={"processor": "another"})
    with (
        pytest.raises(EvaluationError, match=r"repeats 30, now 40; machine .*some.*another.*--restart"),
        Journal.open(path, restart=False) as journal,
    ):
        journal.begin(other)
    with Journal.open(path, restart=True) as journal:
        journal.begin(other)
        assert not journal.trials
