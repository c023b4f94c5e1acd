"""A journal keeps every line that was finished, and lets nobody go on with another measurement's."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.compiler.sensitivity import journal_file as module
from mixdq.compiler.sensitivity.header import Header
from mixdq.compiler.sensitivity.journal import Entry, Journal, finished_layers
from mixdq.configs.errors import EvaluationError, MachineError, StorageError
from mixdq.configs.layers import LayerName
from mixdq.configs.sensitivity import Metric, Operand

HEADER = Header(
    model="few",
    model_digest="a" * 64,
    layers_digest="b" * 64,
    ranges_digest="c" * 64,
    prompts=2,
    prompts_digest="d" * 64,
    seed=0,
    resolution=64,
    widths={Operand.WEIGHT: (4, 8)},
    bos_aware=True,
    every_metric=False,
    device="cpu",
    threads=2,
    precision="float32",
    batch=2,
    compiled=False,
    torch="2.13",
    code="e" * 64,
)


def _entry(name: str, score: float = 0.1) -> Entry:
    return Entry(LayerName(name), 1.5, {Operand.WEIGHT: {Metric.SQNR: (score, 20.0)}})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with two finished layers."""
    path = tmp_path / "out.json.journal"
    with Journal.open(path, restart=False) as journal:
        assert journal.header is None
        journal.begin(HEADER)
        journal.add(_entry("conv_in"))
        journal.add(_entry("conv_out", 1 / 3))
    return path


def test_what_was_added_is_there_to_the_last_bit(path: Path) -> None:
    with Journal.open(path, restart=False) as journal:
        journal.begin(HEADER)
        assert journal.header == HEADER
        assert list(journal.done.values()) == [_entry("conv_in"), _entry("conv_out", 1 / 3)]
    assert finished_layers(path) == 2


@pytest.mark.parametrize("left", [1, 20, 60])
def test_a_line_that_was_not_written_to_its_end_is_dropped_and_written_over(path: Path, left: int) -> None:
    whole = path.read_bytes()
    with Journal.open(path, restart=False) as journal:
        journal.begin(HEADER)
        journal.add(_entry("mid"))
    path.write_bytes(path.read_bytes()[: len(whole) + left])
    assert finished_layers(path) == 2
    with Journal.open(path, restart=False) as journal:
        journal.begin(HEADER)
        assert set(journal.done) == {"conv_in", "conv_out"}
        journal.add(_entry("up"))
    assert path.read_bytes().startswith(whole)
    assert [json.loads(line)["layer"] for line in path.read_text().splitlines()[1:]] == [
        "conv_in",
        "conv_out",
        "up",
    ]


def test_half_a_header_is_no_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:30])
    with Journal.open(path, restart=False) as journal:
        assert (journal.header, journal.done) == (None, {})
        journal.begin(HEADER)
    assert finished_layers(path) == 0


@pytest.mark.parametrize(
    "damage", ["{", "null", '{"layer": "x"}', '{"layer": "x", "seconds": NaN, "scores": {}}']
)
def test_damage_in_the_middle_names_the_line(path: Path, damage: str) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], damage, lines[2]]) + "\n")
    with pytest.raises(EvaluationError, match=r"line 2"), Journal.open(path, restart=False):
        pass


def test_a_layer_that_is_there_twice_is_damage(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1]]) + "\n")
    with (
        pytest.raises(EvaluationError, match=r"twice; drop it with --restart"),
        Journal.open(path, restart=False),
    ):
        pass


def test_another_measurement_is_refused_by_what_differs(path: Path) -> None:
    other = replace(HEADER, seed=1, torch="2.14", widths={Operand.WEIGHT: (2,)})
    before = path.read_bytes()
    with (
        Journal.open(path, restart=False) as journal,
        pytest.raises(
            EvaluationError,
            match=r"\(seed 0, now 1; widths weight 4/8, now weight 2; torch 2.13, now 2.14\).*--restart",
        ),
    ):
        journal.begin(other)
    assert path.read_bytes() == before


def test_a_restart_drops_what_was_there(path: Path) -> None:
    other = replace(HEADER, seed=1)
    with Journal.open(path, restart=True) as journal:
        assert (journal.header, journal.done) == (None, {})
        journal.begin(other)
    assert finished_layers(path) == 0


def test_a_journal_that_was_never_begun_leaves_no_file(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "new.journal", restart=False):
        pass
    assert not list(tmp_path.iterdir())


def test_two_at_once_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.1)
    with (
        Journal.open(path, restart=False),
        pytest.raises(MachineError, match="another mixdq process is at work"),
        Journal.open(path, restart=True),
    ):
        pass
    assert finished_layers(path) == 2


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_keeps_what_was_there(path: Path) -> None:
    before = path.read_bytes()
    with Journal.open(path, restart=False) as journal:
        journal.begin(HEADER)
        with (
            _largest_file(len(before) + 10),
            pytest.raises(StorageError, match=r"the 2 layers that it holds are kept\. Free some space"),
        ):
            journal.add(_entry("mid"))
        assert path.read_bytes() == before
        journal.add(_entry("mid"))
    assert finished_layers(path) == 3


def test_a_folder_that_is_a_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StorageError, match="choose another --out"),
        Journal.open(tmp_path / "file" / "x.journal", restart=False),
    ):
        pass
