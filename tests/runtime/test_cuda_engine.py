"""What can be said of a package before a GPU is asked, and what its constants are read from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mixdq.compiler.cuda.constants import write_constants
from mixdq.configs.errors import BundleError
from mixdq.configs.package_constants import CHANNELS_LAST, SCRATCH
from mixdq.runtime.mapped_constants import map_constants, scratch_bytes


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
    found = map_constants(torch, [path], "cpu")
    assert found.keys() == written.keys()
    for name, tensor in written.items():
        assert torch.equal(found[name], tensor), name
        assert found[name].dtype == tensor.dtype
        assert found[name].stride() == tensor.stride(), name


def test_the_keys_are_those_of_files_that_are_written_already() -> None:
    assert (CHANNELS_LAST, SCRATCH) == ("mixdq.channels_last", "mixdq.scratch")


def test_what_packages_take_to_compute_is_read_without_the_constants(tmp_path: Path) -> None:
    path = tmp_path / "unet.weights"
    write_constants(path, {"a": torch.zeros(2)}, {"unet-512.pt2": 7, "unet-1024.pt2": 28})
    assert [scratch_bytes([path], f"unet-{size}.pt2") for size in (512, 768, 1024)] == [7, 0, 28]
    path.write_bytes(b"hello")
    with pytest.raises(BundleError, match="no file of constants"):
        scratch_bytes([path], "unet-512.pt2")


def test_a_file_that_holds_no_constants_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "unet.weights"
    path.write_bytes((5).to_bytes(8, "little") + b"hello")
    with pytest.raises(BundleError, match="no file of constants"):
        map_constants(torch, [path], "cpu")
    save_file({"a": torch.zeros(2)}, path, metadata={CHANNELS_LAST: json.dumps(["a"])})
    with pytest.raises(BundleError, match="no file of constants"):
        map_constants(torch, [path], "cpu")
