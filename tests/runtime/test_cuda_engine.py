"""What can be said of a package before a GPU is asked, and what its constants are read from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mixdq.compiler.cuda.constants import read_constants, write_constants
from mixdq.configs.errors import BundleError
from mixdq.configs.package_constants import CHANNELS_LAST
from mixdq.runtime.mapped_constants import map_constants


def test_constants_are_read_as_they_were_laid_out(tmp_path: Path) -> None:
    written = {
        "plain": torch.arange(6, dtype=torch.int8).reshape(2, 3),
        "turned": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "half": torch.tensor([1.5, -2.0]).half(),
        "brain": torch.tensor([1.5], dtype=torch.bfloat16),
        "number": torch.tensor(7, dtype=torch.int32),
        "nothing": torch.empty(0),
    }
    path = tmp_path / "unet.weights"
    write_constants(path, written)
    assert path.stat().st_mode & 0o044 == 0o044
    for found in (map_constants(torch, [path], "cpu"), read_constants(path, "cpu")):
        assert found.keys() == written.keys()
        for name, tensor in written.items():
            assert torch.equal(found[name], tensor), name
            assert found[name].dtype == tensor.dtype
            assert found[name].stride() == tensor.stride(), name


def test_the_key_is_that_of_files_that_are_written_already() -> None:
    assert CHANNELS_LAST == "mixdq.channels_last"


def test_a_file_that_holds_no_constants_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "unet.weights"
    path.write_bytes((5).to_bytes(8, "little") + b"hello")
    with pytest.raises(BundleError, match="no file of constants"):
        map_constants(torch, [path], "cpu")
    save_file({"a": torch.zeros(2)}, path, metadata={CHANNELS_LAST: json.dumps(["a"])})
    with pytest.raises(BundleError, match="no file of constants"):
        map_constants(torch, [path], "cpu")


def test_memory_that_runs_out_is_not_the_files_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> Any:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    write_constants(tmp_path / "unet.weights", {"a": torch.zeros(2)})
    monkeypatch.setattr(torch, "frombuffer", full)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        map_constants(torch, [tmp_path / "unet.weights"], "cpu")
