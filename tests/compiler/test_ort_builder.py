from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from mixdq.compiler.ort_builder import check_onnxruntime
from mixdq.configs.bundle import SYMBOLIC, TensorSpec
from mixdq.configs.errors import GraphError

X = (TensorSpec("x", "float32", (1, 16)),)
Y = (TensorSpec("y", "float32", (1, 4)),)


def product(folder: Path) -> Path:
    """y = x W, with W in a file beside the graph."""
    model = parse_model(
        """<ir_version: 10, opset_import: ["" : 21]>
        net (float[1,16] x) => (float[1,4] y) { y = MatMul (x, weight) }"""
    )
    weight = np.arange(64, dtype=np.float32).reshape(16, 4)
    model.graph.initializer.append(numpy_helper.from_array(weight, "weight"))
    onnx.save(
        model, folder / "net.onnx", save_as_external_data=True, location="net.weights", size_threshold=0
    )
    return folder / "net.onnx"


def silent(phase: str, done: int, total: int | None) -> None:
    pass


def test_a_graph_with_its_weights_is_an_engine_for_the_cpu(tmp_path: Path) -> None:
    built = check_onnxruntime(silent, product(tmp_path), X, Y)
    assert built.builder.startswith("onnxruntime 1.")
    assert built.built_for == "cpu"


def test_symbolic_sizes_are_expected_without_their_names(tmp_path: Path) -> None:
    graph = tmp_path / "net.onnx"
    model = parse_model(
        """<ir_version: 10, opset_import: ["" : 21]>
        net (float[1,width] x) => (float[1,width] y) { y = Neg (x) }"""
    )
    onnx.save(model, graph)
    x, y = TensorSpec("x", "float32", (1, SYMBOLIC)), TensorSpec("y", "float32", (1, SYMBOLIC))
    assert check_onnxruntime(silent, graph, (x,), (y,)).built_for == "cpu"
    with pytest.raises(GraphError, match=r"net\.onnx has the inputs .*-1.* expected .*16"):
        check_onnxruntime(silent, graph, (TensorSpec("x", "float32", (1, 16)),), (y,))


@pytest.mark.parametrize(
    ("inputs", "outputs", "what"),
    [
        ((TensorSpec("x", "float16", (1, 16)),), Y, "inputs"),
        (X, (TensorSpec("y", "float32", (1, 5)),), "outputs"),
        (X, (TensorSpec("z", "float32", (1, 4)),), "outputs"),
    ],
)
def test_other_tensors_than_expected_are_refused(
    inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], what: str, tmp_path: Path
) -> None:
    with pytest.raises(GraphError, match=rf"net\.onnx has the {what} .* expected .*export the model again"):
        check_onnxruntime(silent, product(tmp_path), inputs, outputs)


def test_missing_weights_are_an_error_of_the_graph(tmp_path: Path) -> None:
    graph = product(tmp_path)
    (tmp_path / "net.weights").unlink()
    with pytest.raises(GraphError, match=r"ONNX Runtime refused net\.onnx"):
        check_onnxruntime(silent, graph, X, Y)


def test_an_operator_that_does_not_exist_is_an_error_of_the_graph(tmp_path: Path) -> None:
    graph = product(tmp_path)
    model = onnx.load(graph, load_external_data=False)
    model.graph.node[0].op_type = "Multiply"
    onnx.save(model, graph)
    with pytest.raises(GraphError, match=r"refused net\.onnx[\s\S]*Multiply"):
        check_onnxruntime(silent, graph, X, Y)
