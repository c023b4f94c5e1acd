"""Engines in Polygraphy's TensorRT runner, as far as a machine without a GPU goes."""

import importlib.util
from pathlib import Path

import pytest

from mixdq.compiler.worker import run_in_child
from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.errors import BundleError, TargetError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.target import Backend, Target
from mixdq.eval.compare.runs import execute_engine, run_engine


def _say_nothing(phase: str, done: int, total: int | None) -> None:
    pass


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
def test_an_engine_is_not_run_without_a_gpu(both_dialects: Path) -> None:
    record = Bundle.read(both_dialects).find(Component.UNET, "rtx:sm89", 128)
    with pytest.raises(TargetError, match="run on an NVIDIA GPU, and this machine has none"):
        run_engine(_say_nothing, both_dialects, record, Target.parse("rtx:sm89"), 0, {})


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT for RTX is not installed"
)
def test_what_is_no_engine_is_refused_by_tensorrt_for_rtx_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "unet.engine"
    path.write_bytes(b"no engine" * 100)
    with pytest.raises(BundleError, match=r"could not load or run .*unet\.engine"):
        run_in_child(execute_engine, path, Backend.RTX, 0, {})
