"""No machine that builds this has a GPU which TensorRT runs on: at least, every name exists."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from typing import Any

import pytest

from mixdq.runtime.cuda_api import CUDA_MODULE, CudaRuntime
from mixdq.runtime.tensorrt_api import (
    BASE_CLASSES,
    ONNX_CLASSES,
    RTX_CLASSES,
    OnnxModule,
    RtxModule,
    TensorRt,
)

PRODUCTS = ("tensorrt_rtx", "tensorrt_lean_bindings")


@pytest.fixture(params=PRODUCTS)
def trt(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param)


def _listed(protocol: type) -> set[str]:
    names = {*vars(protocol), *inspect.get_annotations(protocol)}
    return {name for name in names if not name.startswith("_")}


def _arguments(protocol: type, name: str) -> int | None:
    """How many arguments we pass; None for what is no method."""
    member = vars(protocol).get(name)
    return len(inspect.signature(member).parameters) - 1 if inspect.isfunction(member) else None


def _accepted(method: Any) -> set[int]:
    """The numbers of arguments, without and with those of a default, of every overload by pybind's text."""
    counts: set[int] = set()
    for signature in re.findall(r"\(self: [^,)]*(.*?)\) -> ", method.__doc__ or ""):
        arguments = re.findall(r", (\w+): [^,]*?(?:\[[^\]]*\])?( = [^,]*)?(?=,|$)", signature)
        counts |= {len(arguments), sum(1 for _, default in arguments if not default)}
    return counts


def _check(classes: Mapping[str, type], module: Any) -> None:
    for name, protocol in classes.items():
        found = getattr(module, name)
        missing = {member for member in _listed(protocol) if not hasattr(found, member)}
        assert not missing, (name, missing)
        for member in _listed(protocol):
            wanted = _arguments(protocol, member)
            if wanted is not None:
                assert wanted in _accepted(getattr(found, member)), (name, member)


def test_every_class_and_method_of_tensorrt_exists_and_takes_as_many_arguments(trt: Any) -> None:
    _check(BASE_CLASSES, trt)
    assert not {name for name in _listed(TensorRt) if not hasattr(trt, name)}
    assert (
        trt.ExecutionContextAllocationStrategy.USER_MANAGED != trt.ExecutionContextAllocationStrategy.STATIC
    )
    assert trt.TensorIOMode.INPUT != trt.TensorIOMode.OUTPUT
    assert trt.nptype(trt.DataType.HALF).__name__ == "float16"


def test_a_context_is_made_of_a_runtime_configuration(trt: Any) -> None:
    assert "runtime_config: " in trt.ICudaEngine.create_execution_context.__doc__


def test_what_tensorrt_s_small_runtime_has_not_exists_in_tensorrt_for_rtx() -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    _check({**RTX_CLASSES, **ONNX_CLASSES}, rtx)
    assert not {name for name in _listed(OnnxModule) if not hasattr(rtx, name)}
    assert not {name for name in _listed(RtxModule) if not hasattr(rtx, name)}
    assert "EAGER" in rtx.DynamicShapesKernelSpecializationStrategy.__members__


def test_a_name_that_does_not_exist_is_found_out() -> None:
    rtx = pytest.importorskip("tensorrt_rtx")

    class Wrong:
        def execute_async_v4(self, stream_handle: int) -> bool: ...  # type: ignore[empty-body]

    class TooMany:
        def execute_async_v3(self, stream_handle: int, more: int) -> bool: ...  # type: ignore[empty-body]

    for protocol in (Wrong, TooMany):
        with pytest.raises(AssertionError, match="execute_async"):
            _check({"IExecutionContext": protocol}, rtx)


def test_every_function_of_cuda_exists_and_takes_our_arguments() -> None:
    pytest.importorskip(CUDA_MODULE)
    cuda = importlib.import_module(CUDA_MODULE)
    for name in _listed(CudaRuntime):
        assert hasattr(cuda, name), name
        wanted = _arguments(CudaRuntime, name)
        if wanted is not None:
            signature = (getattr(cuda, name).__doc__ or "").splitlines()[0]
            assert signature.startswith(f"{name}("), signature
            inside = signature[signature.index("(") + 1 : signature.rindex(")")]
            assert len([part for part in inside.split(",") if part.strip()]) == wanted, signature
    assert {"cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost"} <= set(cuda.cudaMemcpyKind.__members__)
    assert "cudaStreamCaptureModeThreadLocal" in cuda.cudaStreamCaptureMode.__members__
