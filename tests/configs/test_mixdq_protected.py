from __future__ import annotations

import collections
import pickle
import zipfile
from pathlib import Path

import pytest

from mixdq.configs.errors import PlanError, StorageError
from mixdq.configs.layers import LayerName
from mixdq.configs.mixdq_format.protected import read_protected, write_protected

_NAMES = (LayerName("conv_in"), LayerName("up_blocks.0.attentions.0.transformer_blocks.0.ff.net.2"))


def _file(tmp_path: Path, pickled: bytes) -> Path:
    path = tmp_path / "protected.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
    return path


class _Bomb:
    """Whoever executes its pickle makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 2500])
def test_a_list_of_names_is_read_in_its_order(tmp_path: Path, protocol: int, count: int) -> None:
    names = [f"model.layer{number}" for number in reversed(range(count))]
    path = _file(tmp_path, pickle.dumps(names, protocol=protocol))
    assert read_protected(path) == tuple(name.removeprefix("model.") for name in names)


def test_torch_reads_what_is_written(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "act_1%.pt"
    write_protected(path, _NAMES)
    assert torch.load(path, weights_only=True) == [f"model.{name}" for name in _NAMES]
    assert read_protected(path) == _NAMES


def test_what_torch_writes_is_read(tmp_path: Path) -> None:
    import torch

    torch.save(list(_NAMES), tmp_path / "names.pt")
    assert read_protected(tmp_path / "names.pt") == _NAMES


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = _file(tmp_path, pickle.dumps([_Bomb(trace)], protocol=2))
    with pytest.raises(PlanError, match=r"opcode GLOBAL.*nothing of it was executed"):
        read_protected(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "value",
    [
        ["conv_in", 8],
        ["conv_in", ["conv_out"]],
        ("conv_in",),
        {"conv_in": 1},
        "conv_in",
        [b"conv_in"],
        collections.OrderedDict(),
        None,
    ],
)
def test_anything_but_a_list_of_strings_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(PlanError, match="not a plain list of layer names"):
        read_protected(_file(tmp_path, pickle.dumps(value, protocol=2)))


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_damaged_pickle_is_refused(tmp_path: Path, cut: int) -> None:
    with pytest.raises(PlanError, match="damaged"):
        read_protected(_file(tmp_path, pickle.dumps(list(_NAMES), protocol=2)[:-cut]))


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="conv_in twice"):
        # Equal strings, not the same one: pickle refers back to that.
        read_protected(_file(tmp_path, pickle.dumps(["conv_in", "".join(["conv", "_in"])], protocol=2)))


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    path.write_bytes(pickle.dumps(list(_NAMES), protocol=2))
    with pytest.raises(PlanError, match="a zip"):
        read_protected(path)


def test_an_enormous_pickle_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="at most 1048576"):
        read_protected(_file(tmp_path, bytes(2**20 + 1)))


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        read_protected(tmp_path / "none.pt")
