"""What can be said of a package before a GPU is asked, and what its constants are read from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mixdq.compiler.cuda.constants import CHANNELS_LAST as WRITTEN_KEY
from mixdq.compiler.cuda.constants import write_constants
from mixdq.configs.bundle import Component, EngineRecord, FileRecord
from mixdq.configs.errors import BundleError, MachineError, TargetError
from mixdq.configs.gpu import Gpu
from mixdq.configs.target import Target
from mixdq.runtime.cuda_engine import check_package, check_room, require_cuda
from mixdq.runtime.mapped_constants import CHANNELS_LAST, map_constants

H200 = Gpu("NVIDIA H200", 90)
CUDA = Target.parse("cuda:sm90")


@pytest.fixture
def record() -> EngineRecord:
    return EngineRecord(
        component=Component.UNET,
        target="cuda:sm90",
        resolution=512,
        file=FileRecord("engines/unet-512.cuda-sm90.pt2", "0" * 64, 10),
        weights=(FileRecord("engines/unet.cuda-sm90.weights", "0" * 64, 3 << 30),),
        builder="torch 2.11.0+cu130",
        built_for="NVIDIA H200",
        inputs=(),
        outputs=(),
    )


@pytest.mark.parametrize(
    ("gpu", "message"),
    [
        (None, "this machine has none that its driver shows"),
        (Gpu("Tesla T4", 75), "need a GPU of compute capability 8.0 or more, found Tesla T4 of 7.5"),
        (Gpu("NVIDIA L4", 89), "found NVIDIA L4 .sm89.; build on this machine with .*cuda:sm89"),
    ],
)
def test_a_gpu_that_is_missing_too_old_or_another_is_refused(gpu: Gpu | None, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        require_cuda(CUDA, gpu)


def test_the_gpu_that_it_was_built_on_runs_a_package(record: EngineRecord) -> None:
    assert require_cuda(CUDA, H200) == H200
    check_package(record, H200, "2.11.0+cu130")


def test_a_package_tuned_for_another_gpu_says_both(record: EngineRecord) -> None:
    with pytest.raises(TargetError, match="tuned for NVIDIA H200, found NVIDIA H100"):
        check_package(record, Gpu("NVIDIA H100", 90), "2.11.0+cu130")


def test_a_package_of_another_torch_says_both(record: EngineRecord) -> None:
    with pytest.raises(BundleError, match=r"built by torch 2.11.0\+cu130.*found torch 2.13.0"):
        check_package(record, H200, "2.13.0+cu130")


def test_memory_that_does_not_hold_the_weights_is_said_before_loading(record: EngineRecord) -> None:
    check_room(record, 3 << 30)
    with pytest.raises(MachineError, match=r"need 3072 MiB .* 3071 MiB are free"):
        check_room(record, (3 << 30) - 1)
    check_room(replace(record, weights=()), 0)


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


def test_both_sides_name_the_layout_alike() -> None:
    assert WRITTEN_KEY == CHANNELS_LAST


def test_a_file_that_holds_no_constants_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "unet.weights"
    path.write_bytes((5).to_bytes(8, "little") + b"hello")
    with pytest.raises(BundleError, match="no file of constants"):
        map_constants(torch, [path], "cpu")
    save_file({"a": torch.zeros(2)}, path, metadata={CHANNELS_LAST: json.dumps(["a"])})
    with pytest.raises(BundleError, match="no file of constants"):
        map_constants(torch, [path], "cpu")
