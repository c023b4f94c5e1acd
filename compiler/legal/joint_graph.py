"""One graph of many layers side by side, each in one form with an input and an output of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from onnx import GraphProto, ModelProto, TensorProto, compose, external_data_helper, helper

from mixdq.compiler.legal.probe_graphs import ProbeLayer, probe_graph
from mixdq.configs.bundle import TensorSpec
from mixdq.configs.form import Form

_INLINE_BYTES = 1024
_ALIGNMENT = 4096


@dataclass(frozen=True, slots=True)
class JointGraph:
    """Where the graph is and what it takes and gives, in the order of its layers."""

    path: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def write_joint_graph(parts: Sequence[tuple[ProbeLayer, Form]], float_type: str, path: Path) -> JointGraph:
    """Writes layers side by side, one weight in memory at a time; layer 7 is `7.x` to `7.y`.

    No two weights are alike, because a builder may keep equal ones once.

    Args:
        parts: layers, and how each runs.
        float_type: `float16` or `float32`.
        path: the `.onnx` file to write; the weights get a file of the same name beside it.
    """
    joint, opset, version = GraphProto(name="joint"), 0, 0
    with path.with_suffix(".weights").open("wb") as weights:
        for number, (layer, form) in enumerate(parts):
            alone = probe_graph(layer, form, float_type, seed=number)
            model = compose.add_prefix(alone, f"{number}.", inplace=True)
            _move_out(model.graph, weights)
            _append(joint, model.graph)
            opset = max(opset, model.opset_import[0].version)
            version = max(version, model.ir_version)
    imports = [helper.make_opsetid("", opset)]
    made: ModelProto = helper.make_model(joint, opset_imports=imports, ir_version=version)
    path.write_bytes(made.SerializeToString())
    ends = [layer.tensors for layer, _ in parts]
    return JointGraph(
        path,
        tuple(TensorSpec(f"{number}.x", float_type, read) for number, (read, _) in enumerate(ends)),
        tuple(TensorSpec(f"{number}.y", float_type, given) for number, (_, given) in enumerate(ends)),
    )


def _move_out(graph: GraphProto, weights: IO[bytes]) -> None:
    """Leaves the values of large constants in the file of weights."""
    for tensor in graph.initializer:
        if (length := len(tensor.raw_data)) > _INLINE_BYTES:
            offset = weights.seek(-(-weights.tell() // _ALIGNMENT) * _ALIGNMENT)
            weights.write(tensor.raw_data)
            external_data_helper.set_external_data(tensor, Path(weights.name).name, offset, length)
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL


def _append(joint: GraphProto, graph: GraphProto) -> None:
    joint.node.extend(graph.node)
    joint.initializer.extend(graph.initializer)
    joint.input.extend(graph.input)
    joint.output.extend(graph.output)
