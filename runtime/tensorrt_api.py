"""Every name of TensorRT that the runtime uses, listed once.

TensorRT and TensorRT for RTX are two modules whose classes have one shape; what RTX alone has is apart. A
test compares these lists with the installed modules, down to the number of arguments.
"""

# ruff: noqa: D102, N802  (TensorRT's own names and documentation)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

TensorName = str
"""An input's or output's name, which is the ONNX graph's and the bundle's."""


class TensorRt(Protocol):
    """The module itself: `tensorrt`, or `tensorrt_rtx`."""

    __version__: str
    ExecutionContextAllocationStrategy: Any
    ILogger: Any
    TensorIOMode: Any

    def Runtime(self, logger: Any) -> Runtime: ...
    def nptype(self, trt_type: Any) -> Any: ...
    def Refitter(self, engine: CudaEngine, logger: Any) -> Refitter: ...


class Runtime(Protocol):
    """Makes engines of files."""

    def deserialize_cuda_engine(self, serialized_engine: Any) -> CudaEngine | None: ...


class CudaEngine(Protocol):
    """A network with its weights on the GPU (`ICudaEngine`)."""

    num_io_tensors: int
    num_optimization_profiles: int

    def get_tensor_name(self, index: int) -> TensorName: ...
    def get_tensor_mode(self, name: TensorName) -> Any: ...
    def get_tensor_dtype(self, name: TensorName) -> Any: ...
    def get_tensor_shape(self, name: TensorName) -> Sequence[int]: ...
    def create_runtime_config(self) -> RuntimeConfig: ...
    def create_execution_context(self, runtime_config: RuntimeConfig) -> ExecutionContext | None: ...


class RuntimeConfig(Protocol):
    """How contexts are made (`IRuntimeConfig`)."""

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None: ...


class ExecutionContext(Protocol):
    """A network ready for one set of shapes (`IExecutionContext`)."""

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool: ...
    def set_input_shape(self, name: TensorName, shape: tuple[int, ...]) -> bool: ...
    def infer_shapes(self) -> list[TensorName]: ...
    def get_tensor_shape(self, name: TensorName) -> Sequence[int]: ...
    def update_device_memory_size_for_shapes(self) -> int: ...
    def set_device_memory(self, memory: int, size: int) -> None: ...
    def set_tensor_address(self, name: TensorName, memory: int) -> bool: ...
    def execute_async_v3(self, stream_handle: int) -> bool: ...


class Refitter(Protocol):
    """Puts weights into an engine."""

    def refit_cuda_engine(self) -> bool: ...


class OnnxModule(TensorRt, Protocol):
    """What both modules have besides, and TensorRT's small runtime (`tensorrt_lean`) has not: ONNX."""

    def OnnxParserRefitter(self, refitter: Refitter, logger: Any) -> OnnxRefitter: ...


class OnnxRefitter(Protocol):
    """Takes an engine's weights from the graph that it was built from (`OnnxParserRefitter`)."""

    def refit_from_file(self, model: str) -> bool: ...


class RtxModule(TensorRt, Protocol):
    """What the module of TensorRT for RTX has besides."""

    DynamicShapesKernelSpecializationStrategy: Any


class RtxRuntimeConfig(RuntimeConfig, Protocol):
    """What TensorRT for RTX has besides: kernels that it compiles on the GPU are kept in a cache."""

    dynamic_shapes_kernel_specialization_strategy: Any

    def create_runtime_cache(self) -> RuntimeCache: ...
    def set_runtime_cache(self, cache: RuntimeCache) -> bool: ...


class RtxExecutionContext(ExecutionContext, Protocol):
    """What TensorRT for RTX has besides."""

    def is_stream_capturable(self, stream: int) -> bool: ...


class RuntimeCache(Protocol):
    """Kernels that were compiled for this GPU (`IRuntimeCache`)."""

    def deserialize(self, blob: bytes) -> bool: ...
    def serialize(self) -> Any: ...


BASE_CLASSES = {
    "Runtime": Runtime,
    "ICudaEngine": CudaEngine,
    "IRuntimeConfig": RuntimeConfig,
    "IExecutionContext": ExecutionContext,
    "Refitter": Refitter,
}
"""What both products have, by TensorRT's name of the class."""

ONNX_CLASSES = {"OnnxParserRefitter": OnnxRefitter}
"""What both have besides, and `tensorrt_lean` has not."""

RTX_CLASSES = {
    "IRuntimeConfig": RtxRuntimeConfig,
    "IExecutionContext": RtxExecutionContext,
    "IRuntimeCache": RuntimeCache,
}
"""What TensorRT for RTX has besides."""
