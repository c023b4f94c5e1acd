from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from mixdq.compiler.mapped_weights import MappedWeights
from mixdq.configs.errors import GraphError

SIZE = 4 << 20


def graph_of_two_weights(folder: Path) -> tuple[Path, dict[str, bytes]]:
    """A graph with two constants of 4 MiB in one file, and a small one in the graph itself."""
    model = parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]>
        net (int8[{SIZE}] x) => (int8[{SIZE}] y) {{
            a = Add (x, first)
            b = Add (a, second)
            y = Add (b, one)
        }}"""
    )
    rng = np.random.default_rng(0)
    values = {name: rng.integers(-9, 9, SIZE, dtype=np.int8) for name in ("first", "second")}
    for name, value in {**values, "one": np.ones(1, np.int8)}.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    onnx.save(model, folder / "net.onnx", save_as_external_data=True, location="net.weights")
    return folder / "net.onnx", {name: value.tobytes() for name, value in values.items()}


def resident_file_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile:"))


def test_each_external_constant_is_found_at_its_address(tmp_path: Path) -> None:
    graph, values = graph_of_two_weights(tmp_path)
    weights = MappedWeights(graph)
    found = {name: ctypes.string_at(address, length) for name, address, length in weights.tensors}
    assert found == values


@pytest.mark.skipif(sys.platform != "linux", reason="pages are given back on Linux only")
def test_pages_that_were_given_back_cost_no_memory_and_can_be_read_again(tmp_path: Path) -> None:
    graph, values = graph_of_two_weights(tmp_path)
    weights = MappedWeights(graph)
    name, address, length = weights.tensors[1]
    assert ctypes.string_at(address, length) == values[name]
    before = resident_file_kib()
    weights.give_back()
    assert before - resident_file_kib() > SIZE // 1024 * 0.9
    assert ctypes.string_at(address, length) == values[name]


def test_a_block_that_gives_back_leaves_the_values_as_they_are(tmp_path: Path) -> None:
    graph, values = graph_of_two_weights(tmp_path)
    weights = MappedWeights(graph)
    with weights.given_back():
        for name, address, length in weights.tensors:
            assert ctypes.string_at(address, length) == values[name]


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(GraphError, match=r"net\.onnx is no readable ONNX graph"):
        MappedWeights(tmp_path / "net.onnx")


def test_a_weight_that_names_no_file_is_refused(tmp_path: Path) -> None:
    graph, _ = graph_of_two_weights(tmp_path)
    model = onnx.load(graph, load_external_data=False)
    del model.graph.initializer[1].external_data[:]
    graph.write_bytes(model.SerializeToString())
    with pytest.raises(GraphError, match=r"net\.onnx does not say which file holds its weight second; write"):
        MappedWeights(graph)


@pytest.mark.parametrize("kept", [0, SIZE + 1000])
def test_a_weights_file_that_was_cut_off_is_refused(kept: int, tmp_path: Path) -> None:
    graph, _ = graph_of_two_weights(tmp_path)
    with (tmp_path / "net.weights").open("r+b") as file:
        file.truncate(kept)
    with pytest.raises(GraphError, match=r"net\.weights, which (is missing or unreadable|has 4195304)"):
        MappedWeights(graph)
