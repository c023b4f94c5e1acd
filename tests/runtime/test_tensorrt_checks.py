from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.bundle import Component, EngineRecord, FileRecord, TensorSpec
from mixdq.configs.errors import BundleError, TargetError
from mixdq.configs.gpu import Gpu, find_gpu
from mixdq.configs.target import Target
from mixdq.runtime import load
from mixdq.runtime.tensorrt_checks import check_built_for, require_executable, require_gpu

ADA, BLACKWELL, HOPPER = (
    Gpu("NVIDIA GeForce RTX 4090", 89),
    Gpu("NVIDIA GeForce RTX 5090", 120),
    Gpu("NVIDIA H100 80GB HBM3", 90),
)
RTX, FULL = Target.parse("rtx:sm89"), Target.parse("tensorrt")
RECORD = EngineRecord(
    component=Component.UNET,
    target="rtx:sm89",
    resolution=512,
    file=FileRecord("engines/unet.engine", "0" * 64, 1),
    weights=(),
    builder="tensorrt-rtx 1.7.1.116",
    built_for="sm89",
    inputs=(TensorSpec("x", "float16", (1,)),),
    outputs=(TensorSpec("y", "float16", (1,)),),
)


def test_a_gpu_of_the_target_s_compute_capability_is_taken() -> None:
    assert require_gpu(RTX, ADA) is ADA
    assert require_gpu(FULL, HOPPER) is HOPPER


def test_another_gpu_than_the_target_s_is_refused_with_its_own_target() -> None:
    with pytest.raises(TargetError, match=r"capability 8\.9, found .*5090 of 12\.0.*--target rtx:sm120"):
        require_gpu(RTX, BLACKWELL)


def test_a_gpu_that_tensorrt_for_rtx_refuses_is_told_of_the_other_targets() -> None:
    with pytest.raises(TargetError, match=r"H100.* of 9\.0; TensorRT for RTX does not run on .* 9\.0.*cpu"):
        require_gpu(RTX, HOPPER)


@pytest.mark.parametrize("target", [RTX, FULL])
def test_a_machine_without_a_gpu_is_refused(target: Target) -> None:
    with pytest.raises(
        TargetError, match=f"{target} engines run on an NVIDIA GPU, and this machine has none"
    ):
        require_gpu(target, None)


def test_an_engine_built_for_this_gpu_by_this_version_passes() -> None:
    check_built_for(RECORD, RTX, "1.7.1.116", ADA)
    check_built_for(replace(RECORD, builder="tensorrt-rtx 1.7.1"), RTX, "1.7.1.116", ADA)
    here = replace(RECORD, target="tensorrt", builder="tensorrt 11.4.0.106", built_for=HOPPER.name)
    check_built_for(here, FULL, "11.4.0.106", HOPPER)


def test_an_engine_built_for_another_gpu_is_refused() -> None:
    elsewhere = replace(RECORD, built_for="NVIDIA L4", builder="tensorrt 11.4.0.106")
    with pytest.raises(
        TargetError, match=r"unet\.engine was built for NVIDIA L4.*found .*4090 \(sm89\); build"
    ):
        check_built_for(elsewhere, FULL, "11.4.0.106", ADA)


@pytest.mark.parametrize("builder", ["tensorrt-rtx 1.7.0.5", "tensorrt-rtx 2.7.1.116", "tensorrt 1.7.1.116"])
def test_an_engine_of_another_version_is_refused(builder: str) -> None:
    with pytest.raises(BundleError, match=rf"built by {builder}.*found tensorrt-rtx 1\.7\.1\.116; install"):
        check_built_for(replace(RECORD, builder=builder), RTX, "1.7.1.116", ADA)


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
@pytest.mark.parametrize("target", ["rtx:sm89", "tensorrt"])
def test_loading_a_bundle_for_a_gpu_says_what_this_machine_lacks(tiny_bundle: Path, target: str) -> None:
    path = tiny_bundle / "bundle.json"
    path.write_text(path.read_text().replace('"target": "cpu"', f'"target": "{target}"'))
    with pytest.raises(TargetError, match=rf"{target} engines run on an NVIDIA GPU, .* none"):
        load(tiny_bundle, target=target)


@pytest.mark.skipif(find_gpu() is None, reason="no GPU")
@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_a_machine_with_a_gpu_and_no_tensorrt_says_what_to_install() -> None:
    with pytest.raises(TargetError, match=r"TensorRT, which does not load .*mixdq\[tensorrt\]"):
        require_executable(FULL)
