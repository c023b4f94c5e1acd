"""An engine of TensorRT or TensorRT for RTX on the GPU, to be timed: its tensors, its runs, its profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Self

import numpy as np

from mixdq.compiler.tune.engines import EngineFile
from mixdq.compiler.tune.hardware import load_cuda, load_product
from mixdq.compiler.tune.instrument import Array, fed
from mixdq.configs.errors import MachineError, TargetError
from mixdq.configs.target import Target
from mixdq.configs.tensorrt_product import error_log, reasons


class Device:
    """CUDA's runtime as it is used here: each call checked; a context manager of one stream.

    Attributes:
        cuda: `cuda.bindings.runtime`.
        stream: the stream's handle.
    """

    def __init__(self, target: Target) -> None:
        self.cuda = load_cuda(target)
        self._stream = self.checked("make a stream", self.cuda.cudaStreamCreateWithFlags(1))
        self.stream = int(self._stream)
        self._closing = ExitStack()
        self._closing.callback(self.cuda.cudaStreamDestroy, self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def checked(self, doing: str, result: tuple[Any, ...]) -> Any:
        """The value of a call.

        Raises:
            MachineError: CUDA reports an error.
        """
        error, *values = result
        if int(error) != 0:
            _, text = self.cuda.cudaGetErrorString(error)
            raise MachineError(
                f"CUDA could not {doing}: {text.decode(errors='replace')} (error {int(error)}); see "
                "`nvidia-smi` for the GPU's state and what else uses it"
            )
        return values[0] if values else None

    def wait(self) -> None:
        """Waits for the stream's work."""
        self.checked("finish its work", self.cuda.cudaStreamSynchronize(self._stream))

    def timed_us(self, work: Callable[[], None]) -> float:
        """Microseconds between two events around what `work` gives to the stream."""
        begin, end = (self.checked("make an event", self.cuda.cudaEventCreate()) for _ in range(2))
        try:
            self.checked("record an event", self.cuda.cudaEventRecord(begin, self._stream))
            work()
            self.checked("record an event", self.cuda.cudaEventRecord(end, self._stream))
            self.wait()
            return 1e3 * float(self.checked("read a time", self.cuda.cudaEventElapsedTime(begin, end)))
        finally:
            self.cuda.cudaEventDestroy(begin)
            self.cuda.cudaEventDestroy(end)

    def recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        """What `work` gives to the stream, as a CUDA graph to launch."""
        mode = self.cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.checked("begin to record a graph", self.cuda.cudaStreamBeginCapture(self._stream, mode))
        work()
        graph = self.checked("record a graph", self.cuda.cudaStreamEndCapture(self._stream))
        self._closing.callback(self.cuda.cudaGraphDestroy, graph)
        program = self.checked("make a graph ready", self.cuda.cudaGraphInstantiate(graph, 0))
        self._closing.callback(self.cuda.cudaGraphExecDestroy, program)

        def launch() -> None:
            self.checked("start a graph", self.cuda.cudaGraphLaunch(program, self._stream))

        return launch


class DeviceRun:
    """An engine with its inputs on the GPU; a context manager that gives all of it back.

    The context has memory of its own, so that two engines can run in turns.
    """

    def __init__(self, target: Target, device: Device, engine: EngineFile) -> None:
        """Opens the engine.

        Raises:
            TargetError: it does not open on this GPU.
            MachineError: memory ran out.
        """
        self._trt, self._device, self._file = load_product(target), device, engine
        self._log = error_log(self._trt)
        self._runtime = self._trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(engine.file.read_bytes())
        if self._engine is None:
            raise TargetError(f"{engine.file.name} does not open here: {reasons(self._log)}")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise MachineError(f"{engine.file.name} got no context: {reasons(self._log)}")
        self._stack = ExitStack()
        self._addresses: dict[str, int] = {}
        for spec in (*engine.inputs, *engine.outputs):
            size = int(np.prod(spec.shape, dtype=np.int64)) * np.dtype(spec.dtype).itemsize
            address = int(device.checked("allocate memory", device.cuda.cudaMalloc(max(size, 1))))
            self._stack.callback(device.cuda.cudaFree, address)
            self._addresses[spec.name] = address
            self._context.set_tensor_address(spec.name, address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._device.wait()
        self._context = self._engine = self._runtime = None
        self._stack.close()

    @property
    def information(self) -> str:
        """What TensorRT's engine inspector says of the engine's layers, in JSON."""
        inspector = self._engine.create_engine_inspector()
        return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def feed(self, inputs: Mapping[str, Array]) -> None:
        """Copies inputs to the GPU."""
        to_device = self._device.cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        for name, array in fed(self._file, inputs).items():
            whole = np.ascontiguousarray(array)
            copied = self._device.cuda.cudaMemcpy(
                self._addresses[name], whole.ctypes.data, whole.nbytes, to_device
            )
            self._device.checked("copy to the GPU", copied)

    def enqueue(self) -> None:
        """Gives one run to the stream.

        Raises:
            MachineError: TensorRT refuses it.
        """
        if not self._context.execute_async_v3(self._device.stream):
            raise MachineError(f"{self._file.file.name} refused to run: {reasons(self._log)}")

    @property
    def capturable(self) -> bool:
        """Whether a run can be recorded as a CUDA graph; after a first run."""
        asked = getattr(self._context, "is_stream_capturable", None)
        return asked is None or bool(asked(self._device.stream))

    def output(self) -> Array:
        """The single output of the last run, in FP32."""
        (spec,) = self._file.outputs
        found = np.empty(spec.shape, dtype=spec.dtype)
        from_device = self._device.cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._device.wait()
        copied = self._device.cuda.cudaMemcpy(
            found.ctypes.data, self._addresses[spec.name], found.nbytes, from_device
        )
        self._device.checked("copy from the GPU", copied)
        return found.astype(np.float32)

    def profiled(self) -> Callable[[], list[tuple[str, float]]]:
        """Profiles from now on; gives what runs once and tells TensorRT's layers, with microseconds."""
        trt: Any = self._trt

        class Profiler(trt.IProfiler):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.IProfiler.__init__(self)
                self.times: list[tuple[str, float]] = []

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                self.times.append((layer_name, 1e3 * ms))

        profiler = Profiler()
        self._context.profiler = profiler

        def run() -> list[tuple[str, float]]:
            profiler.times = []
            self.enqueue()
            self._device.wait()
            return profiler.times

        return run
