"""What the CUDA back end refuses before it loads anything, and what it warns of."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from mixdq.configs.bundle import Component, EngineRecord, FileRecord
from mixdq.configs.errors import BundleError, MachineError, TargetError
from mixdq.configs.gpu import Gpu, find_gpu
from mixdq.configs.target import Target
from mixdq.runtime.cuda_checks import (
    check_all,
    check_package,
    check_room,
    load_torch,
    require_cuda,
    tuned_elsewhere,
)
from mixdq.runtime.loading import open_with
from mixdq.runtime.onnx_engine import OnnxDevice

H200 = Gpu("NVIDIA H200", 90)
CUDA = Target.parse("cuda:sm90")
GIB = 1 << 30


@pytest.fixture
def record() -> EngineRecord:
    return EngineRecord(
        component=Component.UNET,
        target="cuda:sm90",
        resolution=512,
        file=FileRecord("engines/unet-512.cuda-sm90.pt2", "0" * 64, 10),
        weights=(FileRecord("engines/unet.cuda-sm90.weights", "0" * 64, 3 * GIB),),
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


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
def test_loading_on_a_machine_without_a_gpu_says_so() -> None:
    with pytest.raises(TargetError, match=r"this machine has none .* --target cpu"):
        open_with(CUDA, OnnxDevice.CPU, None)


def test_a_torch_that_is_missing_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(TargetError, match=r"run by torch, which does not load here .* build for CUDA"):
        load_torch(CUDA)


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
def test_a_torch_that_finds_no_gpu_is_said() -> None:
    with pytest.raises(TargetError, match=r"torch \S+ can't use the GPU here; install its build for CUDA"):
        load_torch(CUDA)


def test_the_gpu_that_it_was_built_on_runs_a_package(record: EngineRecord) -> None:
    assert require_cuda(CUDA, H200) == H200
    check_package(record, "2.11.0+cu130")
    assert tuned_elsewhere(record, H200) is None


def test_a_package_that_was_tuned_for_another_gpu_runs_and_both_are_said(record: EngineRecord) -> None:
    h100 = require_cuda(CUDA, Gpu("NVIDIA H100 80GB HBM3", 90))
    said = tuned_elsewhere(record, h100)
    assert said is not None
    assert "tuned for NVIDIA H200, found NVIDIA H100 80GB HBM3: they run here" in said
    assert "`mixdq-compile run` on this machine" in said


def test_a_package_of_another_torch_says_both(record: EngineRecord) -> None:
    with pytest.raises(BundleError, match=r"built by torch 2.11.0\+cu130.*found torch 2.13.0"):
        check_package(record, "2.13.0+cu130")


def test_memory_that_does_not_hold_weights_and_work_is_said_before_loading() -> None:
    check_room(Component.UNET, 3 * GIB, GIB, 4 * GIB)
    with pytest.raises(
        MachineError, match=r"unet needs 3072 MiB .* weights and 1024 MiB to compute, and 4095 MiB are free"
    ):
        check_room(Component.UNET, 3 * GIB, GIB, 4 * GIB - 1)
    # The next resolution's package has the weights already.
    check_room(Component.UNET, 0, GIB, GIB)


def test_engines_that_do_not_fit_together_are_refused_before_the_first_is_loaded(
    record: EngineRecord,
) -> None:
    large = replace(record, resolution=1024, scratch_bytes=3 * GIB)
    text = FileRecord("engines/text_encoder.cuda-sm90.weights", "0" * 64, GIB)
    encoder = replace(record, component=Component.TEXT_ENCODER, resolution=None, weights=(text,))
    records = [encoder, replace(record, scratch_bytes=GIB), large]
    check_all(records, 5 * GIB)  # the UNet's constants count once, computing at 512 alone
    with pytest.raises(MachineError, match=r"need 4096 MiB .* and 1024 MiB to compute .* 5119 MiB are free"):
        check_all(records, 5 * GIB - 1)
    check_all([encoder], GIB)
