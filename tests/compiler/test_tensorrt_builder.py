from __future__ import annotations

import resource
import signal
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from mixdq.compiler import tensorrt_builder
from mixdq.compiler.build_options import BuildOptions, Profile
from mixdq.compiler.tensorrt_builder import build_tensorrt, require_tensorrt
from mixdq.compiler.worker import run_in_child
from mixdq.configs.bundle import TensorSpec
from mixdq.configs.errors import GraphError, StorageError, TargetError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.target import Target

SM89 = Target.parse("rtx:sm89")
INPUTS = (TensorSpec("x", "float16", (1, 64, 8, 8)),)
SYMBOLIC_INPUTS = (TensorSpec("x", "float16", (1, 64, -1, -1)),)
PLAIN = BuildOptions(timing_cache=None, strip_weights=False)
ONE_SIZE: tuple[Profile, ...] = ()
TWO_SIZES: tuple[Profile, ...] = ({"x": (1, 64, 8, 8)}, {"x": (1, 64, 16, 16)})


def ignore(phase: str, done: int, total: int | None) -> None:
    pass


def w8a8_convolution(folder: Path, operator: str = "Relu", sides: str = "8,8") -> Path:
    """A 1x1 convolution with an INT8 weight, kept in a file beside the graph."""
    model = parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]>
        net (float16[1,64,{sides}] x) => (float16[1,64,{sides}] y) {{
            quantized = QuantizeLinear (x, scale, zero)
            input = DequantizeLinear (quantized, scale, zero)
            weight = DequantizeLinear (stored, scale)
            sum = Conv (input, weight)
            y = {operator} (sum)
        }}"""
    )
    weight = np.random.default_rng(0).integers(-128, 128, (64, 64, 1, 1), dtype=np.int8)
    constants = {"stored": weight, "scale": np.float16(0.5), "zero": np.int8(0)}
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    model.graph.node[-1].name = "last"
    onnx.save(
        model, folder / "net.onnx", save_as_external_data=True, location="net.weights", size_threshold=64
    )
    return folder / "net.onnx"


@pytest.mark.parametrize("target", ["rtx:sm75", "rtx:sm120"])
def test_a_w8a8_graph_with_its_weights_in_a_file_builds_without_a_gpu(target: str, tmp_path: Path) -> None:
    graph, engine = w8a8_convolution(tmp_path), tmp_path / "engines" / "net.engine"
    phases: list[str] = []
    done = run_in_child(
        build_tensorrt,
        Target.parse(target),
        graph,
        engine,
        INPUTS,
        ONE_SIZE,
        PLAIN,
        report=lambda phase, done, total: phases.append(phase),
    )
    assert engine.stat().st_size > 64 * 64
    assert done.value.builder.startswith("tensorrt-rtx 1.")
    assert done.value.built_for == target.removeprefix("rtx:")
    assert "Building engine" in phases


def test_a_node_that_the_parser_refuses_is_named(tmp_path: Path) -> None:
    graph = w8a8_convolution(tmp_path, operator="StringNormalizer")
    with pytest.raises(
        GraphError, match=r"TensorRT for RTX refused net.onnx: node last \(StringNormalizer\)"
    ):
        run_in_child(build_tensorrt, SM89, graph, tmp_path / "net.engine", INPUTS, ONE_SIZE, PLAIN)
    assert not (tmp_path / "net.engine").exists()


def test_missing_weights_are_an_error_of_the_graph(tmp_path: Path) -> None:
    graph = w8a8_convolution(tmp_path)
    (tmp_path / "net.weights").unlink()
    with pytest.raises(GraphError, match=r"net\.onnx reads its weights from net\.weights, which is missing"):
        run_in_child(build_tensorrt, SM89, graph, tmp_path / "net.engine", INPUTS, ONE_SIZE, PLAIN)


def test_weights_that_were_cut_off_are_refused_before_they_are_read(tmp_path: Path) -> None:
    graph = w8a8_convolution(tmp_path)
    with (tmp_path / "net.weights").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(GraphError, match=r"reads bytes 0 to 4096 of net\.weights, which has 1000"):
        run_in_child(build_tensorrt, SM89, graph, tmp_path / "net.engine", INPUTS, ONE_SIZE, PLAIN)


def test_the_engine_holds_the_weights_of_the_file(tmp_path: Path) -> None:
    graph, engine = w8a8_convolution(tmp_path), tmp_path / "net.engine"
    run_in_child(build_tensorrt, SM89, graph, engine, INPUTS, ONE_SIZE, PLAIN)
    # The builder may store the channels in another order; the values of each stay together.
    channels = np.fromfile(tmp_path / "net.weights", np.int8, 64 * 64).reshape(64, 64)
    assert channels[5].tobytes() in engine.read_bytes()


def test_other_inputs_than_expected_are_refused(tmp_path: Path) -> None:
    graph = w8a8_convolution(tmp_path)
    inputs = (TensorSpec("x", "float16", (1, 64, 9, 9)),)
    with pytest.raises(GraphError, match=r"takes .*64, 8, 8.*expected .*64, 9, 9"):
        run_in_child(build_tensorrt, SM89, graph, tmp_path / "net.engine", inputs, ONE_SIZE, PLAIN)


def test_a_graph_with_symbolic_sizes_gets_a_profile_for_each_resolution(tmp_path: Path) -> None:
    graph, engine = w8a8_convolution(tmp_path, sides="height,width"), tmp_path / "net.engine"
    phases: list[str] = []
    run_in_child(
        build_tensorrt,
        SM89,
        graph,
        engine,
        SYMBOLIC_INPUTS,
        TWO_SIZES,
        PLAIN,
        report=lambda phase, done, total: phases.append(phase if done == 0 else ""),
    )
    assert engine.stat().st_size > 64 * 64
    assert phases.count("Compiling the network") == 2


@pytest.mark.parametrize(
    ("sides", "inputs", "profiles", "message"),
    [
        ("h,w", SYMBOLIC_INPUTS, (), "symbolic sizes, which need the shapes of each resolution; found .* 0"),
        ("8,8", INPUTS, TWO_SIZES, "fixed sizes only; found the shapes of 2 resolutions"),
        ("h,w", SYMBOLIC_INPUTS, ({"x": (1, 32, 8, 8)},), r"x of \(1, 64, -1, -1\) can't have .*1, 32, 8, 8"),
        ("h,w", SYMBOLIC_INPUTS, ({"z": (1, 64, 8, 8)},), r"input x of .* can't have the shape \(\)"),
    ],
)
def test_profiles_that_do_not_fit_the_graph_are_refused(
    sides: str,
    inputs: tuple[TensorSpec, ...],
    profiles: tuple[Profile, ...],
    message: str,
    tmp_path: Path,
) -> None:
    graph = w8a8_convolution(tmp_path, sides=sides)
    with pytest.raises(GraphError, match=message):
        run_in_child(build_tensorrt, SM89, graph, tmp_path / "net.engine", inputs, profiles, PLAIN)


def test_a_disk_that_fills_while_the_engine_is_written_leaves_no_file(tmp_path: Path) -> None:
    graph, engine = w8a8_convolution(tmp_path), tmp_path / "engines" / "net.engine"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))
    try:
        with pytest.raises(StorageError, match=r"could not write .*net\.engine: File too large"):
            build_tensorrt(ignore, SM89, graph, engine, INPUTS, ONE_SIZE, PLAIN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(engine.parent.iterdir())


@pytest.mark.parametrize("stopped_in", ["Building engine", "Compiling the network"])
def test_ctrl_c_stops_a_build_and_leaves_no_file(stopped_in: str, tmp_path: Path) -> None:
    graph, engine = w8a8_convolution(tmp_path), tmp_path / "engines" / "net.engine"

    def interrupt(phase: str, done: int, total: int | None) -> None:
        if phase == stopped_in:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        build_tensorrt(interrupt, SM89, graph, engine, INPUTS, ONE_SIZE, PLAIN)
    assert not list(engine.parent.iterdir())


def test_a_listener_that_fails_stops_the_build_and_is_heard_after_it(tmp_path: Path) -> None:
    graph, engine = w8a8_convolution(tmp_path), tmp_path / "engines" / "net.engine"

    def hang_up(phase: str, done: int, total: int | None) -> None:
        if phase != "reading":
            raise BrokenPipeError("nobody listens")

    with pytest.raises(BrokenPipeError, match="nobody listens"):
        build_tensorrt(hang_up, SM89, graph, engine, INPUTS, ONE_SIZE, PLAIN)
    assert not list(engine.parent.iterdir())


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
def test_rtx_without_a_gpu_says_that_it_cannot_leave_the_weights_out(tmp_path: Path) -> None:
    options = BuildOptions(timing_cache=None, strip_weights=True)
    with pytest.raises(TargetError, match=r"only on a machine with an NVIDIA GPU.*leave --strip-weights out"):
        build_tensorrt(ignore, SM89, tmp_path / "none.onnx", tmp_path / "e", INPUTS, ONE_SIZE, options)


def test_rtx_says_that_it_takes_no_timing_cache(tmp_path: Path) -> None:
    options = BuildOptions(timing_cache=tmp_path / "timings", strip_weights=False)
    with pytest.raises(TargetError, match=r"measures nothing when it builds.*leave --timing-cache out"):
        build_tensorrt(ignore, SM89, tmp_path / "none.onnx", tmp_path / "e", INPUTS, ONE_SIZE, options)


def test_full_tensorrt_takes_both_options(tmp_path: Path) -> None:
    BuildOptions(timing_cache=tmp_path / "timings", strip_weights=True).check(Target.parse("tensorrt"))


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
def test_full_tensorrt_says_what_it_lacks() -> None:
    with pytest.raises(TargetError, match=r"mixdq\[tensorrt\]|a machine with an NVIDIA GPU"):
        require_tensorrt(Target.parse("tensorrt"))


def test_engines_are_built_to_tell_the_types_of_their_layers() -> None:
    import tensorrt_rtx as trt

    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    config = tensorrt_builder._config(trt, builder, SM89, PLAIN)
    assert config.profiling_verbosity == trt.ProfilingVerbosity.DETAILED
