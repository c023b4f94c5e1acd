"""Engines by TensorRT and by TensorRT for RTX: one code, two modules whose Python APIs have the same shape.

Networks are strongly typed: precision is in the graph, nowhere else. Flags, calibrators and dynamic ranges
that TensorRT 11 removed are not used.
"""

from __future__ import annotations

import importlib
import importlib.util
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from mixdq.compiler.built import Built
from mixdq.compiler.worker import Report
from mixdq.configs.bundle import TensorSpec
from mixdq.configs.errors import GraphError, TargetError
from mixdq.configs.files import writing
from mixdq.configs.gpu import find_gpu
from mixdq.configs.target import Backend, Target

_MODULES = {Backend.TENSORRT: "tensorrt", Backend.RTX: "tensorrt_rtx"}
_PRODUCTS = {Backend.TENSORRT: "TensorRT", Backend.RTX: "TensorRT for RTX"}
_EXTRAS = {Backend.TENSORRT: "tensorrt", Backend.RTX: "rtx"}


def require_tensorrt(target: Target) -> None:
    """Refuses a target whose builder, or whose GPU, is not on this machine; imports nothing.

    Raises:
        TargetError: says which extra to install, or that a GPU is needed.
    """
    if importlib.util.find_spec(_MODULES[target.backend]) is None:
        raise _not_installed(target, "it is not installed")
    if target.backend is Backend.TENSORRT and find_gpu() is None:
        raise TargetError(
            "target tensorrt builds on the GPU that the engine will run on, and this machine has none that "
            "its driver shows; run it on a machine with an NVIDIA GPU, or choose rtx:sm89 or cpu"
        )


def build_tensorrt(
    report: Report, target: Target, graph: Path, engine: Path, inputs: Sequence[TensorSpec]
) -> Built:
    """Builds one engine from an ONNX graph and the weights beside it.

    Args:
        report: told the phases of the build.
        target: `tensorrt` builds for this machine's GPU, `rtx:sm89` for that compute capability.
        graph: the ONNX file; all shapes static.
        engine: the file to write, whole or not at all.
        inputs: the tensors that the graph is expected to take.

    Raises:
        GraphError: the parser or the builder refuses the graph; says which node.
        TargetError: the builder or its GPU is missing.
        KeyboardInterrupt: Ctrl-C stopped the build.
    """
    require_tensorrt(target)
    trt = _load(target)
    log = _error_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, log)
    report("reading", 0, None)
    if not parser.parse_from_file(str(graph)):
        raise GraphError(f"{_PRODUCTS[target.backend]} refused {graph.name}: {_parser_errors(parser)}")
    _check_inputs(trt, network, graph, inputs)
    _let_attention_decompose(trt, network)
    with _interruptible() as interrupted:
        config = _config(trt, builder, target)
        config.progress_monitor = _monitor(trt, report, interrupted)
        serialized = builder.build_serialized_network(network, config)
    if interrupted:
        raise KeyboardInterrupt
    if serialized is None:
        reasons = "; ".join(log.errors[-3:]) or "it gave no reason"
        raise GraphError(f"{_PRODUCTS[target.backend]} could not build {graph.name} for {target}: {reasons}")
    with writing(engine) as temporary, temporary.open("wb") as file:
        file.write(memoryview(serialized))
    return Built(builder_name(target, trt.__version__), built_for(target))


def builder_name(target: Target, version: str) -> str:
    """Builder and version, as the bundle records them: `tensorrt-rtx 1.7.1`."""
    return f"{_MODULES[target.backend].replace('_', '-')} {version}"


def built_for(target: Target) -> str:
    """The hardware that an engine of this target runs on: `sm89`, or the name of this machine's GPU."""
    if target.sm is not None:
        return f"sm{target.sm}"
    gpu = find_gpu()
    return gpu.name if gpu is not None else "no GPU"


def _load(target: Target) -> Any:
    try:
        return importlib.import_module(_MODULES[target.backend])
    except (ImportError, OSError) as error:
        raise _not_installed(target, f"it does not load: {error}") from error


def _not_installed(target: Target, what: str) -> TargetError:
    return TargetError(
        f"target {target} needs {_PRODUCTS[target.backend]}, but {what}; install it with "
        f"`pip install 'mixdq[{_EXTRAS[target.backend]}]'`"
    )


def _network_flags(trt: Any) -> int:
    # TensorRT 10 types networks weakly unless told; later versions know no other networks than strong ones.
    strong = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if strong is None else 1 << int(strong)


def _config(trt: Any, builder: Any, target: Target) -> Any:
    config = builder.create_builder_config()
    if target.sm is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{target.sm}"), 0)
    return config


def _parser_errors(parser: Any) -> str:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    named = [f"node {e.node_name() or '(unnamed)'} ({e.node_operator()}): {e.desc().strip()}" for e in errors]
    return "; ".join(dict.fromkeys(named)) or "it gave no reason"


def _check_inputs(trt: Any, network: Any, graph: Path, expected: Sequence[TensorSpec]) -> None:
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    found = {t.name: (trt.nptype(t.dtype).__name__, tuple(t.shape)) for t in tensors}
    wanted = {spec.name: (spec.dtype, spec.shape) for spec in expected}
    if found != wanted:
        raise GraphError(f"{graph.name} takes {found}, expected {wanted}; export the model again")


def _let_attention_decompose(trt: Any, network: Any) -> None:
    # TensorRT refuses an Attention node for which it has no fused kernel (a single head, say), unless the
    # node is marked so; where it has one, the engine is the same. Older versions know no such nodes.
    attention = getattr(trt.LayerType, "ATTENTION_OUTPUT", None)
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if attention is not None and layer.type == attention:
            layer.__class__ = trt.IAttentionOutputLayer
            layer.attention.decomposable = True


def _error_log(trt: Any) -> Any:
    """A logger that keeps the errors for the exception and prints nothing."""

    class ErrorLog(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return ErrorLog()


def _monitor(trt: Any, report: Report, interrupted: list[int]) -> Any:
    """Reports the phases of a build; a step answers False, which cancels it, once a signal arrived."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._steps[phase] = steps
            report(phase, 0, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            report(phase, step + 1, self._steps[phase])
            return not interrupted

        def phase_finish(self, phase: str) -> None:
            self._steps.pop(phase, None)

    return Monitor()


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Collects Ctrl-C instead of raising it: an exception must not cross the builder's C++ frames."""
    arrived: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield arrived
    finally:
        signal.signal(signal.SIGINT, before)
