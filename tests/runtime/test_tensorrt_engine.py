"""How the runtime drives TensorRT: profiles, shapes, addresses, scratch memory, graphs, kept kernels.

No GPU that TensorRT for RTX runs on was at hand, and TensorRT deserializes nothing without one, so a module
written here stands for it: its engines copy their input through the scratch memory to their output. Where
there is a GPU the copies are real, through the real cuda-python, in real graphs; elsewhere a few lines of
`ctypes` stand for CUDA too. What TensorRT itself does is not tested: `mixdq-eval selftest` does it.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mixdq.configs.bundle import SYMBOLIC, Component, EngineRecord, FileRecord, TensorSpec
from mixdq.configs.errors import BundleError, MachineError, TargetError
from mixdq.configs.gpu import Gpu, find_gpu
from mixdq.configs.target import Target
from mixdq.runtime import cuda_api, cuda_memory, cuda_stream, tensorrt_engine
from mixdq.runtime.cuda_api import CudaRuntime
from mixdq.runtime.device_program import Workspace
from mixdq.runtime.sizes import at_resolution
from mixdq.runtime.tensorrt_engine import TensorRtEngine, TensorRtNetwork, TensorRtOpener

ADA = Gpu("NVIDIA GeForce RTX 4090", 89)
VERSION = "1.7.1.116"
RESOLUTIONS = (128, 192)
NO_MEMORY = "[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)"


class HostCuda:
    """CUDA in the host's memory: work is done when it is given, or noted while a graph is recorded."""

    cudaMemcpyKind = SimpleNamespace(  # noqa: N815
        cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2, cudaMemcpyDeviceToDevice=3
    )
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815
    cudaStreamNonBlocking = 1  # noqa: N815

    def __init__(self) -> None:
        self.held: dict[int, Any] = {}
        self.given_back: list[Any] = []  # kept, so that no address comes twice
        self.recording: list[Callable[[], object]] | None = None
        self.waits = 0
        self.broken = False

    def _hold(self, size: int) -> tuple[int, int]:
        block = ctypes.create_string_buffer(size)
        self.held[ctypes.addressof(block)] = block
        return 0, ctypes.addressof(block)

    def _release(self, what: int) -> tuple[int]:
        self.given_back.append(self.held.pop(what))
        return (0,)

    cudaMalloc = cudaMallocHost = _hold  # noqa: N815
    cudaFree = cudaFreeHost = _release  # noqa: N815

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[int, int]:  # noqa: N802
        return self._hold(1)

    cudaStreamDestroy = _release  # noqa: N815

    def cudaStreamSynchronize(self, stream: Any) -> tuple[int]:  # noqa: N802
        assert self.recording is None, "no waiting while a graph is recorded"
        self.waits += 1
        return (700,) if self.broken else (0,)

    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: Any, stream: Any) -> tuple[int]:  # noqa: N802
        def copy() -> None:
            assert {dst, src} <= self.held.keys(), "memory that was given back"
            ctypes.memmove(dst, src, count)

        (copy if self.recording is None else lambda: self.recording.append(copy))()  # type: ignore[union-attr]
        return (0,)

    def cudaStreamBeginCapture(self, stream: Any, mode: Any) -> tuple[int]:  # noqa: N802
        self.recording = []
        return (0,)

    def cudaStreamEndCapture(self, stream: Any) -> tuple[int, Any]:  # noqa: N802
        work, self.recording = self.recording, None
        return 0, work

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[int, Any]:  # noqa: N802
        return 0, graph

    def cudaGraphDestroy(self, graph: Any) -> tuple[int]:  # noqa: N802
        return (0,)

    cudaGraphExecDestroy = cudaGraphDestroy  # noqa: N815

    def cudaGraphLaunch(self, graphExec: Any, stream: Any) -> tuple[int]:  # noqa: N802, N803
        for work in graphExec:
            work()
        return (0,)

    def cudaGetErrorString(self, error: Any) -> tuple[int, bytes]:  # noqa: N802
        return 0, b"no error"

    def cudaMemGetInfo(self) -> tuple[int, int, int]:  # noqa: N802
        return 0, 1 << 30, 1 << 30


@dataclass
class CopyContext:
    """Copies x to y through the scratch memory, once shapes and addresses are as its engine asks."""

    engine: CopyEngine
    config: dict[str, Any]
    profile: int = 0
    shape: tuple[int, ...] = ()
    scratch: tuple[int, int] = (0, 0)
    addresses: dict[str, int] = field(default_factory=dict)
    bound: list[int] = field(default_factory=list)
    enqueued: int = 0

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        self.profile = profile_index
        return profile_index < len(self.engine.profiles)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return name == "x" and list(shape) in self.engine.profiles[self.profile]

    def infer_shapes(self) -> list[str]:
        return []

    def get_tensor_shape(self, name: str) -> list[int]:
        return list(self.shape)

    def update_device_memory_size_for_shapes(self) -> int:
        return int(np.prod(self.shape)) * 2

    def set_device_memory(self, memory: int, size: int) -> None:
        assert size >= self.update_device_memory_size_for_shapes()
        self.scratch = memory, size
        self.bound.append(memory)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return True

    def is_stream_capturable(self, stream: int) -> bool:
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        self.enqueued += 1
        cuda, size = cuda_api.cuda_runtime(), self.update_device_memory_size_for_shapes()
        kind = cuda.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        for target, source in (
            (self.scratch[0], self.addresses["x"]),
            (self.addresses["y"], self.scratch[0]),
        ):
            assert int(cuda.cudaMemcpyAsync(target, source, size, kind, stream_handle)[0]) == 0
        self.config["cache"].extend(b"compiled ")
        self.engine.say("run")
        return self.engine.works


class CopyEngine:
    """What the JSON of an engine file says."""

    def __init__(self, content: Mapping[str, Any], logger: Any) -> None:
        self.logger, self.says = logger, content.get("says", {})
        self.keeps: bool = content.get("keeps", True)
        self.tensors: dict[str, tuple[str, list[int]]] = content["tensors"]
        self.profiles: list[list[list[int]]] = content["profiles"]
        self.works: bool = content.get("works", True)
        self.weights: str | None = None
        self.num_io_tensors = len(self.tensors)
        self.num_optimization_profiles = len(self.profiles)
        self.contexts: list[CopyContext] = []
        self.configs: list[dict[str, Any]] = []

    def say(self, doing: str) -> bool:
        """Logs the error that the file has for this, once; whether there was one."""
        error = self.says.pop(doing, None)
        if error is not None:
            self.logger.log("error", error)
        return error is not None

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> str:
        return "INPUT" if name == "x" else "OUTPUT"

    def get_tensor_dtype(self, name: str) -> str:
        return self.tensors[name][0]

    def get_tensor_shape(self, name: str) -> list[int]:
        return self.tensors[name][1]

    def create_runtime_config(self) -> Any:
        found: dict[str, Any] = {}
        self.configs.append(found)
        keeps = self.keeps

        class Config:
            def __setattr__(self, name: str, value: Any) -> None:
                found[name] = value

            def set_execution_context_allocation_strategy(self, strategy: str) -> None:
                found["allocation"] = strategy

            def create_runtime_cache(self) -> Any:
                kernels = found["cache"] = bytearray()
                return SimpleNamespace(
                    deserialize=kernels.extend, serialize=lambda: kernels if keeps else None
                )

            def set_runtime_cache(self, cache: Any) -> bool:
                return True

        return Config()

    def create_execution_context(self, runtime_config: Any) -> CopyContext | None:
        if self.say("context"):
            return None
        self.contexts.append(CopyContext(self, self.configs[-1]))
        return self.contexts[-1]


class CopyRt:
    """The module."""

    __version__ = VERSION
    ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="ours")
    DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")
    TensorIOMode = SimpleNamespace(INPUT="INPUT")

    class ILogger:
        ERROR, INTERNAL_ERROR, INFO = "error", "internal", "info"

    def __init__(self) -> None:
        self.engines: list[CopyEngine] = []

    def nptype(self, trt_type: str) -> type:
        return np.dtype(trt_type).type

    def Refitter(self, engine: CopyEngine, logger: Any) -> Any:  # noqa: N802
        def finish() -> bool:
            engine.works = engine.weights is not None
            return engine.works

        return SimpleNamespace(engine=engine, refit_cuda_engine=finish)

    def OnnxParserRefitter(self, refitter: Any, logger: Any) -> Any:  # noqa: N802
        def refit(model: str) -> bool:
            if not Path(model).is_file():
                logger.log("error", "no such graph")
                return False
            refitter.engine.weights = model
            return True

        return SimpleNamespace(refit_from_file=refit)

    def Runtime(self, logger: Any) -> Any:  # noqa: N802
        def deserialize(content: Any) -> CopyEngine | None:
            try:
                engine = CopyEngine(json.loads(bytes(content)), logger)
            except ValueError:
                logger.log("info", "not this")
                logger.log("error", "magic number does not match")
                return None
            if engine.say("load"):
                return None
            self.engines.append(engine)
            return engine

        return SimpleNamespace(deserialize_cuda_engine=deserialize)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> CudaRuntime:
    if find_gpu() is not None:
        pytest.importorskip("cuda.bindings.runtime")
        return cuda_api.cuda_runtime()
    host = HostCuda()
    for module in (cuda_api, cuda_memory, cuda_stream):
        monkeypatch.setattr(module, "cuda_runtime", lambda: host)
    return host


@pytest.fixture
def trt(cuda: CudaRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CopyRt:
    module = CopyRt()
    monkeypatch.setattr(tensorrt_engine, "require_executable", lambda target: (module, ADA))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return module


@pytest.fixture
def opener(trt: CopyRt) -> Iterator[TensorRtOpener]:
    found = TensorRtOpener(Target.parse("rtx:sm89"))
    yield found
    found.close()


def _record(path: Path, *shapes: tuple[int, ...], fixed: bool = False, **more: Any) -> EngineRecord:
    """Writes an engine file with a profile for each shape, and makes its record."""
    shape = shapes[0] if fixed else (1, 4, SYMBOLIC, SYMBOLIC)
    content = {
        "tensors": {"x": ["float16", shape], "y": ["float16", shape]},
        "profiles": [[one] for one in shapes],
        **more,
    }
    path.write_text(json.dumps(content))
    x, y = TensorSpec("x", "float16", shape), TensorSpec("y", "float16", shape)
    file, builder = FileRecord.of(path.parent, path), f"tensorrt-rtx {VERSION}"
    return EngineRecord(Component.UNET, "rtx:sm89", None, file, (), builder, "sm89", (x,), (y,))


def _input(side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, 4, side, side)).astype(np.float16)


def _copies(engine: TensorRtEngine, side: int) -> None:
    results = [engine.run({"x": _input(side, seed)})["y"] for seed in range(3)]
    for seed, result in enumerate(results):
        np.testing.assert_array_equal(result, _input(side, seed))


def _engines(network: TensorRtNetwork, record: EngineRecord) -> list[TensorRtEngine]:
    return [
        network.engine(at_resolution(record, pixels, 8), profile)
        for profile, pixels in enumerate(RESOLUTIONS)
    ]


def test_one_file_serves_each_resolution_by_its_own_profile(
    opener: TensorRtOpener, trt: CopyRt, tmp_path: Path
) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16), (1, 4, 24, 24))
    network = opener.open(record, tmp_path / "unet.engine", ())
    small, large = _engines(network, record)
    _copies(small, 16)
    _copies(large, 24)
    _copies(small, 16)
    assert len(trt.engines) == 1
    assert [context.profile for context in trt.engines[0].contexts] == [0, 1]
    network.close()


def test_a_file_with_a_single_profile_serves_all_resolutions_by_it(
    opener: TensorRtOpener, trt: CopyRt, tmp_path: Path
) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16))
    content = json.loads((tmp_path / "unet.engine").read_text())
    content["profiles"] = [[(1, 4, 16, 16), (1, 4, 24, 24)]]
    (tmp_path / "unet.engine").write_text(json.dumps(content))
    network = opener.open(record, tmp_path / "unet.engine", ())
    small, large = _engines(network, record)
    _copies(small, 16)
    _copies(large, 24)
    assert [context.profile for context in trt.engines[0].contexts] == [0, 0]
    network.close()


def test_a_file_of_fixed_sizes_runs(opener: TensorRtOpener, tmp_path: Path) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16), fixed=True)
    network = opener.open(record, tmp_path / "unet.engine", ())
    _copies(network.engine(record, 1), 16)
    network.close()


def test_contexts_share_scratch_memory_and_are_recorded_again_when_it_grows(
    cuda: CudaRuntime, opener: TensorRtOpener, trt: CopyRt, tmp_path: Path
) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16), (1, 4, 24, 24))
    network = opener.open(record, tmp_path / "unet.engine", ())
    small, large = _engines(network, record)
    _copies(small, 16)
    one, other = trt.engines[0].contexts
    assert one.enqueued == 2  # the warm-up and the recording, of three runs
    _copies(large, 24)
    _copies(small, 16)
    _copies(large, 24)
    assert one.bound[-1] == other.bound[-1]
    # It moves once, when it grows, unless a GPU happens to grow it in place.
    assert (len(one.bound), len(other.bound)) in (
        [(2, 1)] if isinstance(cuda, HostCuda) else [(2, 1), (1, 1)]
    )
    assert one.enqueued == 2 * len(one.bound)
    assert other.enqueued == 2
    network.close()


def test_kernels_that_were_compiled_are_kept_for_the_next_start(
    opener: TensorRtOpener, trt: CopyRt, tmp_path: Path
) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16), fixed=True)
    for _ in range(2):
        network = opener.open(record, tmp_path / "unet.engine", ())
        network.engine(record, 0).run({"x": _input(16, 0)})
        network.close()
    (kept,) = (tmp_path / "cache" / "mixdq" / "rtx").iterdir()
    assert kept.name.startswith(record.file.sha256[:32])
    # The second start began with what the first one had compiled by its warm-up.
    assert kept.read_bytes() == 2 * b"compiled "
    (config,) = trt.engines[0].configs
    assert config["allocation"] == "ours"
    assert config["dynamic_shapes_kernel_specialization_strategy"] == "eager"


def test_a_file_that_tensorrt_cannot_read_is_refused_with_its_reason(
    opener: TensorRtOpener, tmp_path: Path
) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16))
    (tmp_path / "unet.engine").write_text("no engine")
    with pytest.raises(
        BundleError, match=r"can't load .*unet\.engine.*sm89: magic number does not match; build"
    ):
        opener.open(record, tmp_path / "unet.engine", ())


@pytest.mark.parametrize("change", [{"name": "z"}, {"dtype": "float32"}, {"shape": (1, 4, 8, 8)}])
def test_an_engine_with_other_tensors_than_the_bundle_s_is_refused(
    change: dict[str, Any], opener: TensorRtOpener, tmp_path: Path
) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16))
    other = replace(record, outputs=(replace(record.outputs[0], **change),))
    with pytest.raises(BundleError, match=r"has the tensors .* expected .*build the bundle again"):
        opener.open(other, tmp_path / "unet.engine", ())


def test_a_resolution_without_a_profile_is_refused(opener: TensorRtOpener, tmp_path: Path) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16), (1, 4, 32, 32))
    network = opener.open(record, tmp_path / "unet.engine", ())
    with pytest.raises(BundleError, match=r"refused the shape \(1, 4, 24, 24\) of x"):
        network.engine(at_resolution(record, 192, 8), 1)
    with pytest.raises(BundleError, match="refused optimization profile 2"):
        network.engine(at_resolution(record, 256, 8), 2)
    network.close()


def test_an_engine_that_does_not_run_is_an_error_each_time(opener: TensorRtOpener, tmp_path: Path) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16), fixed=True, works=False)
    network = opener.open(record, tmp_path / "unet.engine", ())
    engine = network.engine(record, 0)
    for _ in range(2):
        with pytest.raises(BundleError, match=r"unet\.engine refused to run: TensorRT gave no reason"):
            engine.run({"x": _input(16, 0)})
    network.close()


def test_an_engine_without_weights_gets_them_from_its_graph(opener: TensorRtOpener, tmp_path: Path) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16), fixed=True, works=False)
    graph = tmp_path / "unet.onnx"
    with pytest.raises(BundleError, match=r"refused the weights of .*unet\.onnx: no such graph"):
        opener.open(record, tmp_path / "unet.engine", (graph, tmp_path / "unet.weights"))
    graph.write_bytes(b"a graph")
    network = opener.open(record, tmp_path / "unet.engine", (graph, tmp_path / "unet.weights"))
    _copies(network.engine(record, 0), 16)
    network.close()


def test_an_engine_for_another_gpu_or_version_is_refused(opener: TensorRtOpener, tmp_path: Path) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16))
    opener.check(record)
    with pytest.raises(TargetError, match="was built for sm120"):
        opener.check(replace(record, built_for="sm120"))
    with pytest.raises(BundleError, match=r"was built by tensorrt-rtx 1\.6\.0"):
        opener.check(replace(record, builder="tensorrt-rtx 1.6.0"))


def test_closing_gives_all_memory_back(cuda: CudaRuntime, trt: CopyRt, tmp_path: Path) -> None:
    if not isinstance(cuda, HostCuda):
        pytest.skip("only the stand-in tells what is held")
    opener = TensorRtOpener(Target.parse("rtx:sm89"))
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16), (1, 4, 24, 24))
    network = opener.open(record, tmp_path / "unet.engine", ())
    for engine, side in zip(_engines(network, record), (16, 24), strict=True):
        _copies(engine, side)
    assert len(cuda.held) == 1 + 1 + 2 * 2 * 2  # stream, scratch; two contexts, two tensors, host and GPU
    network.close()
    opener.close()
    assert not cuda.held


@pytest.mark.parametrize("words", [NO_MEMORY, "Error Code 2: OutOfMemory (no further information)"])
def test_an_engine_for_which_the_gpu_has_no_memory_is_an_error_of_the_machine(
    words: str, opener: TensorRtOpener, tmp_path: Path
) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16), fixed=True, says={"load": words})
    with pytest.raises(
        MachineError,
        match=r"out of memory: could not load .*unet\.engine.*; \d+ of its \d+ MiB .*fewer .*--layout",
    ):
        opener.open(record, tmp_path / "unet.engine", ())


def test_an_engine_larger_than_what_is_free_is_one_too_whatever_tensorrt_says(
    opener: TensorRtOpener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16), fixed=True, says={"load": "assertion"})
    with pytest.raises(BundleError, match="assertion; build the bundle again"):
        opener.open(record, tmp_path / "unet.engine", ())
    monkeypatch.setattr(cuda_memory, "free_and_total_bytes", lambda: (record.file.bytes - 1, 8 << 30))
    with pytest.raises(MachineError, match=r"assertion; 0 of its 8192 MiB are free"):
        opener.open(record, tmp_path / "unet.engine", ())


def test_a_context_or_a_run_without_memory_is_one_too_and_is_forgotten_by_the_next(
    opener: TensorRtOpener, tmp_path: Path
) -> None:
    says = {"context": NO_MEMORY, "run": NO_MEMORY}
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16), fixed=True, works=False, says=says)
    network = opener.open(record, tmp_path / "unet.engine", ())
    with pytest.raises(MachineError, match=r"out of memory: the engine .*unet\.engine refused a context"):
        network.engine(record, 0)
    engine = network.engine(record, 0)
    with pytest.raises(MachineError, match="refused to run"):
        engine.run({"x": _input(16, 0)})
    with pytest.raises(BundleError, match="refused to run: TensorRT gave no reason"):
        engine.run({"x": _input(16, 0)})
    network.close()


def test_kernels_that_tensorrt_does_not_give_cost_nothing_but_the_cache(
    opener: TensorRtOpener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16), fixed=True, keeps=False)
    network = opener.open(record, tmp_path / "unet.engine", ())
    _copies(network.engine(record, 0), 16)
    network.close()
    assert not (tmp_path / "cache").exists()
    # Nor does a user without a folder for them.
    monkeypatch.setattr(tensorrt_engine, "kernel_cache_path", lambda *_: None)
    network = opener.open(record, tmp_path / "unet.engine", ())
    _copies(network.engine(record, 0), 16)
    network.close()


def test_a_network_can_be_closed_twice(opener: TensorRtOpener, tmp_path: Path) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16), fixed=True)
    network = opener.open(record, tmp_path / "unet.engine", ())
    _copies(network.engine(record, 0), 16)
    network.close()
    network.close()


def test_closing_waits_for_the_work_and_gives_back_though_it_failed(
    cuda: CudaRuntime, opener: TensorRtOpener, tmp_path: Path
) -> None:
    if not isinstance(cuda, HostCuda):
        pytest.skip("work fails at will in the stand-in only")
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16), fixed=True)
    before = len(cuda.held)
    network = opener.open(record, tmp_path / "unet.engine", ())
    engine = network.engine(record, 0)
    assert len(cuda.held) == before + 4
    cuda.broken, waits = True, cuda.waits
    network.close()
    engine.program.close()
    assert cuda.waits == waits + 1
    assert len(cuda.held) == before
    cuda.broken = False


def _build_for_real(path: Path) -> Any:
    """A real engine of TensorRT for RTX, which needs no GPU to be built; gives the module."""
    trt = pytest.importorskip("tensorrt_rtx")
    parse_model = pytest.importorskip("onnx.parser").parse_model
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    graph = "net (float16[1,4,16,16] x) => (float16[1,4,16,16] y) { y = Relu (x) }"
    model = parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {graph}')
    assert trt.OnnxParser(network, logger).parse(model.SerializeToString())
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    path.write_bytes(memoryview(builder.build_serialized_network(network, config)))
    return trt


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
def test_the_real_tensorrt_for_rtx_takes_the_file_and_says_that_it_finds_no_gpu(
    cuda: CudaRuntime, tmp_path: Path
) -> None:
    record = _record(tmp_path / "unet.engine", (1, 4, 16, 16), fixed=True)
    trt = _build_for_real(tmp_path / "unet.engine")
    with (
        Workspace() as workspace,
        pytest.raises(BundleError, match=r"TensorRT for RTX 1\..* can't load .*: .*Cuda Runtime.*build"),
    ):
        TensorRtNetwork(trt, record, tmp_path / "unet.engine", (), workspace, Target.parse("rtx:sm89"), ADA)
