"""Engines by TensorRT and by TensorRT for RTX: one code, two modules whose Python APIs have the same shape.

Networks are strongly typed: precision is in the graph, nowhere else. Flags, calibrators and dynamic ranges
that TensorRT 11 removed are not used.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixdq.compiler.build_options import BuildOptions, Profile
from mixdq.compiler.built import Built
from mixdq.compiler.tensorrt_hooks import Stop, engine_writer, monitor, stoppable
from mixdq.compiler.timing_cache import keeping_timings
from mixdq.compiler.worker import Report
from mixdq.configs.bundle import SYMBOLIC, TensorSpec
from mixdq.configs.errors import GraphError, TargetError
from mixdq.configs.files import writing
from mixdq.configs.gpu import find_gpu
from mixdq.configs.target import Backend, Target
from mixdq.configs.tensorrt_product import MODULES, PRODUCTS, builder_name, error_log, reasons


def require_tensorrt(target: Target) -> None:
    """Refuses a target whose builder, or whose GPU, is not on this machine; imports nothing.

    Raises:
        TargetError: says which extra to install, or that a GPU is needed.
    """
    if importlib.util.find_spec(MODULES[target.backend]) is None:
        raise _not_installed(target, "it is not installed")
    if target.backend is Backend.TENSORRT and find_gpu() is None:
        raise TargetError(
            "target tensorrt builds on the GPU that the engine will run on, and this machine has none that "
            "its driver shows; run it on a machine with an NVIDIA GPU, or choose rtx:sm89 or cpu"
        )


def build_tensorrt(
    report: Report,
    target: Target,
    graph: Path,
    engine: Path,
    inputs: Sequence[TensorSpec],
    profiles: Sequence[Profile],
    options: BuildOptions,
) -> Built:
    """Builds one engine from an ONNX graph and the weights beside it.

    The weights are mapped and the engine is streamed to its file, so that a build holds neither twice.

    Args:
        report: told the phases of the build.
        target: `tensorrt` builds for this machine's GPU, `rtx:sm89` for that compute capability.
        graph: the ONNX file.
        engine: the file to write, whole or not at all.
        inputs: the tensors that the graph is expected to take.
        profiles: if sizes are symbolic, the inputs' shapes at each resolution: the engine gets one
            optimization profile a resolution, in this order. Else none.
        options: a timing cache, and whether the weights stay out of the engine.

    Raises:
        GraphError: the parser or the builder refuses the graph; says which node.
        TargetError: the builder or its GPU is missing, or can't do what the options ask.
        StorageError: the disk is full, or the timing cache is damaged or can't be written; the latter before
            the build.
        KeyboardInterrupt: Ctrl-C stopped the build.
    """
    from mixdq.compiler.mapped_weights import MappedWeights

    require_tensorrt(target)
    options.check(target)
    trt = _load(target)
    log = error_log(trt)
    builder = trt.Builder(log)
    report("reading", 0, None)
    weights = MappedWeights(graph)
    # The parser owns what the network keeps of the graph itself, so it lives as long.
    network, _parser = _read(trt, builder, log, target, graph, weights.tensors)
    _check_inputs(trt, network, graph, inputs)
    _let_attention_decompose(trt, network)
    config = _config(trt, builder, target, options)
    _add_profiles(builder, config, network, graph, profiles)
    with (
        keeping_timings(config, options.timing_cache),
        stoppable() as stop,
        weights.given_back(),
        writing(engine) as temporary,
    ):
        config.progress_monitor = monitor(trt, report, stop)
        done = _build(trt, builder, network, config, temporary, stop)
        stop.check()
        if not done:
            raise GraphError(
                f"{PRODUCTS[target.backend]} could not build {graph.name} for {target}: {reasons(log)}"
            )
    return Built(builder_name(target.backend, trt.__version__), built_for(target))


def built_for(target: Target) -> str:
    """The hardware that an engine of this target runs on: `sm89`, or the name of this machine's GPU."""
    if target.sm is not None:
        return f"sm{target.sm}"
    gpu = find_gpu()
    return gpu.name if gpu is not None else "no GPU"


def _load(target: Target) -> Any:
    try:
        return importlib.import_module(MODULES[target.backend])
    except (ImportError, OSError) as error:
        raise _not_installed(target, f"it does not load: {error}") from error


def _not_installed(target: Target, what: str) -> TargetError:
    return TargetError(
        f"target {target} needs {PRODUCTS[target.backend]}, but {what}; install it with "
        f"`pip install 'mixdq[{target.backend}]'`"
    )


def _network_flags(trt: Any) -> int:
    # TensorRT 10 types networks weakly unless told; later versions know no other networks than strong ones.
    strong = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if strong is None else 1 << int(strong)


def _read(
    trt: Any, builder: Any, log: Any, target: Target, graph: Path, tensors: Sequence[tuple[str, int, int]]
) -> tuple[Any, Any]:
    """The network of a graph, and its parser; the weights are handed over at their addresses."""
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, log)
    # The parser would map the weights by itself, but then nothing could be given back.
    loaded = parser.load_model_proto(graph.read_bytes(), str(graph))
    loaded = loaded and all(parser.load_initializer(*tensor) for tensor in tensors)
    if not (loaded and parser.parse_model_proto()):
        raise GraphError(f"{PRODUCTS[target.backend]} refused {graph.name}: {_parser_errors(parser, log)}")
    return network, parser


def _parser_errors(parser: Any, log: Any) -> str:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    named = [f"node {e.node_name() or '(unnamed)'} ({e.node_operator()}): {e.desc().strip()}" for e in errors]
    return "; ".join(dict.fromkeys(named)) or reasons(log)


def _check_inputs(trt: Any, network: Any, graph: Path, expected: Sequence[TensorSpec]) -> None:
    found = {t.name: (trt.nptype(t.dtype).__name__, tuple(t.shape)) for t in _inputs(network)}
    wanted = {spec.name: (spec.dtype, spec.shape) for spec in expected}
    if found != wanted:
        raise GraphError(f"{graph.name} takes {found}, expected {wanted}; export the model again")


def _inputs(network: Any) -> list[Any]:
    return [network.get_input(index) for index in range(network.num_inputs)]


def _let_attention_decompose(trt: Any, network: Any) -> None:
    # TensorRT refuses an Attention node for which it has no fused kernel (a single head, say), unless the
    # node is marked so; where it has one, the engine is the same. Older versions know no such nodes.
    attention = getattr(trt.LayerType, "ATTENTION_OUTPUT", None)
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if attention is not None and layer.type == attention:
            layer.__class__ = trt.IAttentionOutputLayer
            layer.attention.decomposable = True


def _config(trt: Any, builder: Any, target: Target, options: BuildOptions) -> Any:
    config = builder.create_builder_config()
    # An engine inspector gives the layers' types, which lint reads, only of an engine that was built to tell.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if target.sm is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{target.sm}"), 0)
    if options.strip_weights:
        config.set_flag(trt.BuilderFlag.STRIP_PLAN)
        config.set_flag(trt.BuilderFlag.REFIT_IDENTICAL)
    return config


def _add_profiles(builder: Any, config: Any, network: Any, graph: Path, profiles: Sequence[Profile]) -> None:
    symbolic = {t.name: tuple(t.shape) for t in _inputs(network) if SYMBOLIC in tuple(t.shape)}
    if bool(symbolic) != bool(profiles):
        what = "symbolic sizes, which need the shapes of each resolution" if symbolic else "fixed sizes only"
        raise GraphError(f"{graph.name} has {what}; found the shapes of {len(profiles)} resolutions")
    for shapes in profiles:
        profile = builder.create_optimization_profile()
        for name, sizes in symbolic.items():
            shape = shapes.get(name, ())
            if not _fits(shape, sizes):
                raise GraphError(f"{graph.name}: its input {name} of {sizes} can't have the shape {shape}")
            profile.set_shape(name, shape, shape, shape)
        if config.add_optimization_profile(profile) < 0:
            raise GraphError(f"{graph.name} can't take the shapes {dict(shapes)}")


def _fits(shape: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
    pairs = zip(shape, sizes, strict=False)
    return len(shape) == len(sizes) and all(size in (SYMBOLIC, number) for number, size in pairs)


def _build(trt: Any, builder: Any, network: Any, config: Any, engine: Path, stop: Stop) -> bool:
    """Writes the engine; False if the builder failed or was stopped."""
    with engine.open("wb") as file:
        if not hasattr(builder, "build_serialized_network_to_stream"):
            # Older versions give the engine as a whole.
            serialized = builder.build_serialized_network(network, config)
            return serialized is not None and file.write(memoryview(serialized)) > 0
        writer = engine_writer(trt, file, stop)
        done = bool(builder.build_serialized_network_to_stream(network, config, writer))
    if writer.error is not None:
        raise writer.error
    return done
