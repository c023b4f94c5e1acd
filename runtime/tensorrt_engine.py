"""Engines that TensorRT and TensorRT for RTX execute: one class, two modules of one shape."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import cast

from mixdq.configs.bundle import SYMBOLIC, EngineRecord, TensorSpec
from mixdq.configs.errors import BundleError, MixdqError
from mixdq.configs.gpu import Gpu
from mixdq.configs.target import Backend, Target
from mixdq.configs.tensorrt_product import PRODUCTS, error_log, reasons, says_out_of_memory
from mixdq.runtime.cuda_memory import lacks_bytes, out_of_memory
from mixdq.runtime.device_program import DeviceProgram, Workspace
from mixdq.runtime.engine import Array
from mixdq.runtime.kernel_cache import keep_kernels, kernel_cache_path, read_kernels
from mixdq.runtime.tensorrt_api import (
    CudaEngine,
    ExecutionContext,
    OnnxModule,
    RtxExecutionContext,
    RtxModule,
    RtxRuntimeConfig,
    RuntimeCache,
    RuntimeConfig,
    TensorRt,
)
from mixdq.runtime.tensorrt_checks import check_built_for, require_executable


class TensorRtOpener:
    """Opens the TensorRT engines of one target, all on one stream of one GPU; see `Opener`."""

    def __init__(self, target: Target) -> None:
        """Loads the module and takes the GPU.

        Raises:
            TargetError: the module, cuda-python or the GPU is missing, or is the wrong one.
            MachineError: CUDA can't use the GPU.
        """
        self._target = target
        self._trt, self._gpu = require_executable(target)
        self._workspace = Workspace()

    def check(self, record: EngineRecord) -> None:
        """Refuses an engine for another GPU or of another version."""
        check_built_for(record, self._target, self._trt.__version__, self._gpu)

    def open(self, record: EngineRecord, path: Path, weights: tuple[Path, ...]) -> TensorRtNetwork:
        """Loads an engine, whose files were checked, onto the GPU."""
        return TensorRtNetwork(self._trt, record, path, weights, self._workspace, self._target, self._gpu)

    def close(self) -> None:
        """Gives the stream and the scratch memory back."""
        self._workspace.close()


class TensorRtNetwork:
    """One engine file on the GPU: its weights once, a context for each resolution."""

    def __init__(
        self,
        trt: TensorRt,
        record: EngineRecord,
        path: Path,
        weights: tuple[Path, ...],
        workspace: Workspace,
        target: Target,
        gpu: Gpu,
    ) -> None:
        """Deserializes the engine and, if it was built without weights, puts them in.

        Args:
            trt: the module.
            record: the engine's entry in the bundle.
            path: its file, whose digest was checked.
            weights: for an engine built without weights, the ONNX graph that it was built from, then that
                graph's external data; else none.
            workspace: the stream and the scratch memory of all networks.
            target: what it was built for.
            gpu: what it runs on.

        Raises:
            BundleError: the module can't read the file, the engine has other tensors than the record, or the
                weights don't fit.
            MachineError: the GPU's memory ran out.
        """
        self._trt, self._workspace, self._path = trt, workspace, path
        self._log = error_log(trt)
        with workspace.stream.lock:
            self._runtime = trt.Runtime(self._log)
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                engine = self._runtime.deserialize_cuda_engine(content)
            if engine is None:
                # What it reads from the file, its weights above all, goes to the GPU.
                if says_out_of_memory(self._log) or lacks_bytes(record.file.bytes):
                    size = f"{record.file.bytes >> 20} MiB"
                    raise out_of_memory(f"could not load {path} of {size}", reasons(self._log))
                raise BundleError(
                    f"{PRODUCTS[target.backend]} {trt.__version__} can't load {path}, which was made with "
                    f"{record.builder} for {record.built_for}: {reasons(self._log)}; build the bundle again "
                    "here"
                )
            _check_tensors(trt, engine, record, path)
            if weights:
                self._refit(engine, weights[0])
            self._engine: CudaEngine | None = engine
            config = engine.create_runtime_config()
            self._config: RuntimeConfig | None = config
            # The working memory is ours, so that networks that never run at the same time share it.
            config.set_execution_context_allocation_strategy(
                trt.ExecutionContextAllocationStrategy.USER_MANAGED
            )
            self._kernels = (
                _RtxKernels(trt, config, kernel_cache_path(record.file.sha256, gpu, trt.__version__))
                if target.backend is Backend.RTX
                else None
            )
        self._engines: list[TensorRtEngine] = []

    def engine(self, record: EngineRecord, profile: int) -> TensorRtEngine:
        """A context of its own for one resolution; see `Network`."""
        with self._workspace.stream.lock:
            self._log.errors.clear()
            context = self._context(record, profile)
            program = DeviceProgram(
                self._workspace,
                record,
                scratch_bytes=context.update_device_memory_size_for_shapes(),
                bind=context.set_device_memory,
                enqueue=lambda stream: self._enqueue(context, stream),
                capturable=lambda stream: self._after_warm_up(context, stream),
            )
            for name, address in program.addresses.items():
                if not context.set_tensor_address(name, address):
                    program.close()
                    raise self._refusal(f"the address of {name}")
        engine = TensorRtEngine(record, program)
        self._engines.append(engine)
        return engine

    def close(self) -> None:
        """Gives the contexts, their tensors and the weights back; a second call does nothing."""
        with self._workspace.stream.lock, ExitStack() as closing:
            closing.callback(self._forget)
            for engine in self._engines:
                closing.callback(engine.program.close)

    def _forget(self) -> None:
        # TensorRT frees a context, then an engine, with the last reference to it.
        self._engines.clear()
        self._kernels = self._config = self._engine = None

    def _refit(self, engine: CudaEngine, graph: Path) -> None:
        refitter = self._trt.Refitter(engine, self._log)
        onnx = cast(OnnxModule, self._trt).OnnxParserRefitter(refitter, self._log)
        if not (onnx.refit_from_file(str(graph)) and refitter.refit_cuda_engine()):
            raise self._refusal(f"the weights of {graph}")

    def _context(self, record: EngineRecord, profile: int) -> ExecutionContext:
        engine, config = self._engine, self._config
        assert engine is not None, "the network was closed"
        assert config is not None
        context = engine.create_execution_context(config)
        if context is None:
            raise self._refusal("a context")
        stream = self._workspace.stream
        if engine.num_optimization_profiles > 1:
            if not context.set_optimization_profile_async(profile, stream.handle):
                raise self._refusal(f"optimization profile {profile}")
            stream.synchronize()
        for spec in record.inputs:
            if not context.set_input_shape(spec.name, spec.shape):
                raise self._refusal(f"the shape {spec.shape} of {spec.name}")
        unknown = context.infer_shapes()
        found = {spec.name: tuple(context.get_tensor_shape(spec.name)) for spec in record.outputs}
        if unknown or found != {spec.name: spec.shape for spec in record.outputs}:
            raise self._refusal(f"outputs of the bundle's shapes (gave {found}, unknown {unknown})")
        return context

    def _enqueue(self, context: ExecutionContext, stream: int) -> None:
        self._log.errors.clear()  # of earlier runs
        if not context.execute_async_v3(stream):
            raise self._refusal("to run")

    def _after_warm_up(self, context: ExecutionContext, stream: int) -> bool:
        if self._kernels is None:
            return True
        self._kernels.keep()
        return cast(RtxExecutionContext, context).is_stream_capturable(stream)

    def _refusal(self, what: str) -> MixdqError:
        if says_out_of_memory(self._log):
            return out_of_memory(f"the engine {self._path} refused {what}", reasons(self._log))
        return BundleError(
            f"the engine {self._path} refused {what}: {reasons(self._log)}; build the bundle again with the "
            "versions installed here"
        )


class TensorRtEngine:
    """A network at one resolution; see `Engine`.

    Attributes:
        record: its entry in the bundle, every size known.
        program: its run on the GPU.
    """

    def __init__(self, record: EngineRecord, program: DeviceProgram) -> None:
        """Takes a program over."""
        self.record, self.program = record, program

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Executes the network once; see `Engine.run`."""
        return self.program.run(inputs)


class _RtxKernels:
    """The kernels that TensorRT for RTX compiles at the first run of a shape, kept for the next start."""

    def __init__(self, trt: TensorRt, config: RuntimeConfig, path: Path | None) -> None:
        rtx, settings = cast(RtxModule, trt), cast(RtxRuntimeConfig, config)
        # A recorded graph keeps its kernels: it must not be recorded with those that only bridge the time
        # until the right ones are compiled.
        settings.dynamic_shapes_kernel_specialization_strategy = (
            rtx.DynamicShapesKernelSpecializationStrategy.EAGER
        )
        self._path = path
        self._cache: RuntimeCache = settings.create_runtime_cache()
        kept = None if path is None else read_kernels(path)
        if kept:
            # What another driver or version kept is refused here, and replaced after the first run.
            self._cache.deserialize(kept)
        settings.set_runtime_cache(self._cache)

    def keep(self) -> None:
        kernels = None if self._path is None else self._cache.serialize()
        if self._path is not None and kernels is not None:
            keep_kernels(self._path, bytes(memoryview(kernels)))


def _check_tensors(trt: TensorRt, engine: CudaEngine, record: EngineRecord, path: Path) -> None:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = {name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT}
    found = {name: _tensor(trt, engine, name) for name in names}
    expected = {spec.name: spec for spec in (*record.inputs, *record.outputs)}
    if found != expected or inputs != {spec.name for spec in record.inputs}:
        raise BundleError(
            f"the engine {path} has the tensors {sorted(found.values(), key=str)}, expected "
            f"{sorted(expected.values(), key=str)}; build the bundle again with this mixdq"
        )


def _tensor(trt: TensorRt, engine: CudaEngine, name: str) -> TensorSpec:
    dtype = trt.nptype(engine.get_tensor_dtype(name))
    shape = tuple(SYMBOLIC if size < 0 else int(size) for size in engine.get_tensor_shape(name))
    return TensorSpec(name, dtype.__name__, shape)
