"""ONNX Runtime's CUDA provider is asked for, and what this machine lacks is said; nothing falls back."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort
import pytest

from mixdq.configs.errors import TargetError
from mixdq.configs.gpu import Gpu, find_gpu
from mixdq.runtime import load, onnx_engine
from mixdq.runtime.onnx_engine import OnnxDevice, OnnxOpener

cpu_wheel = pytest.mark.skipif(
    "CUDAExecutionProvider" in ort.get_available_providers(), reason="ONNX Runtime for CUDA is installed"
)


def test_an_unknown_device_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(TargetError, match="unknown device 'gpu'; use one of: cpu, cuda"):
        load(tiny_bundle, device="gpu")


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
def test_a_machine_without_a_gpu_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(TargetError, match=r"device cuda needs an NVIDIA GPU, and this machine has none"):
        load(tiny_bundle, device="cuda")


@cpu_wheel
def test_the_wheel_for_the_cpu_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a machine without a GPU only its name is made up; the wheel is the real one.
    monkeypatch.setattr(onnx_engine, "find_gpu", lambda: find_gpu() or Gpu("NVIDIA L40", 89))
    with pytest.raises(TargetError, match=r"is the one for the CPU; .*pip install 'onnxruntime-gpu\[cuda"):
        OnnxOpener(OnnxDevice.CUDA, None)
