from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from mixdq.compiler.tensorrt_builder import build_tensorrt, require_tensorrt
from mixdq.compiler.worker import run_in_child
from mixdq.configs.bundle import TensorSpec
from mixdq.configs.errors import GraphError, TargetError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.target import Target

SM89 = Target.parse("rtx:sm89")
INPUTS = (TensorSpec("x", "float16", (1, 64, 8, 8)),)


def w8a8_convolution(folder: Path, operator: str = "Relu") -> Path:
    """A 1x1 convolution with an INT8 weight, kept in a file beside the graph."""
    model = parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]>
        net (float16[1,64,8,8] x) => (float16[1,64,8,8] y) {{
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
        run_in_child(build_tensorrt, SM89, graph, tmp_path / "net.engine", INPUTS)
    assert not (tmp_path / "net.engine").exists()


def test_missing_weights_are_an_error_of_the_graph(tmp_path: Path) -> None:
    graph = w8a8_convolution(tmp_path)
    (tmp_path / "net.weights").unlink()
    with pytest.raises(GraphError, match=r"refused net\.onnx"):
        run_in_child(build_tensorrt, SM89, graph, tmp_path / "net.engine", INPUTS)


def test_other_inputs_than_expected_are_refused(tmp_path: Path) -> None:
    graph = w8a8_convolution(tmp_path)
    inputs = (TensorSpec("x", "float16", (1, 64, 9, 9)),)
    with pytest.raises(GraphError, match=r"takes .*64, 8, 8.*expected .*64, 9, 9"):
        run_in_child(build_tensorrt, SM89, graph, tmp_path / "net.engine", inputs)


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
def test_full_tensorrt_says_what_it_lacks() -> None:
    with pytest.raises(TargetError, match=r"mixdq\[tensorrt\]|a machine with an NVIDIA GPU"):
        require_tensorrt(Target.parse("tensorrt"))
