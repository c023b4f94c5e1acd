"""How much of its input each quantized layer clips, by the graph itself: it counts behind every tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from mixdq.compiler.tune.kernel_owners import KernelOwners
from mixdq.compiler.unet_session import feeds, open_session, read_graph
from mixdq.configs.errors import GraphError
from mixdq.configs.layers import LayerName, LayerTable

_QUANTIZE = "QuantizeLinear"
_CLIPPED, _BROKEN = "mixdq.tune.clipped.", "mixdq.tune.broken."
_ENDS: Mapping[int, tuple[float, float]] = {
    TensorProto.UINT8: (0.0, 255.0),
    TensorProto.INT8: (-128.0, 127.0),
    TensorProto.FLOAT8E4M3FN: (-448.0, 448.0),
}
_HALF_A_STEP = 0.5


@dataclass(frozen=True, slots=True)
class Clipping:
    """What quantized layers are given.

    Attributes:
        clipped: by layer, the share of its input's values beyond the ends of its range, of those clipped;
            mean over the batches.
        broken: layers whose input held NaN or infinity in some batch, in the graph's order.
        uncounted: why nothing could be counted; empty if it was.
    """

    clipped: Mapping[LayerName, float]
    broken: tuple[LayerName, ...]
    uncounted: str = ""


def find_clipping(
    graph: Path, table: LayerTable, batches: Sequence[Mapping[str, npt.NDArray[Any]]]
) -> Clipping:
    """Runs a graph on the CPU, in ONNX Runtime, whatever it was made for.

    A value is clipped if it is more than half a step beyond the ends: nearer ones are rounded onto them.

    Args:
        graph: as a builder reads it, its weights beside it.
        table: the model's layers.
        batches: the UNet's inputs.

    Returns:
        What was counted, or why ONNX Runtime can't: it has no kernels of FP8, for example.

    Raises:
        GraphError: the graph can't be read, or quantizes otherwise than a plan's.
    """
    model = read_graph(graph)
    owners = KernelOwners(model.graph, list(table.by_name))
    quantized = _watch(model)
    if not quantized:
        return Clipping({}, ())
    try:
        session = open_session(model.SerializeToString(), graph.parent)
    except GraphError as error:
        return Clipping({}, (), str(error))
    names = [f"{kind}{number}" for kind in (_CLIPPED, _BROKEN) for number in range(len(quantized))]
    rows = np.asarray(
        [[float(value) for value in session.run(names, feeds(session, batch))] for batch in batches]
    )
    shares, broken = np.split(rows, 2, axis=1)
    layers = [owners(name, _QUANTIZE) for name in quantized]
    return Clipping(
        _worst(zip(layers, shares.mean(axis=0), strict=True)),
        tuple(_worst(zip(layers, broken.max(axis=0), strict=True))),
    )


def _worst(found: Iterable[tuple[tuple[LayerName, ...], float]]) -> dict[LayerName, float]:
    """By layer the larger of its inputs' shares, of those that are any."""
    worst: dict[LayerName, float] = {}
    for layers, share in found:
        for layer in layers:
            if share > 0:
                worst[layer] = max(worst.get(layer, 0.0), float(share))
    return worst


def _watch(model: onnx.ModelProto) -> list[str]:
    """Adds two numbers to the graph's outputs for every quantized activation; the quantizers' names."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    names: list[str] = []
    added: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type == _QUANTIZE and node.input[0] not in constants:
            low, high = _range(node, constants)
            added += _counting(model.graph, node.input[0], len(names), low, high)
            names.append(node.name)
    model.graph.node.extend(added)
    return names


def _range(node: onnx.NodeProto, constants: Mapping[str, TensorProto]) -> tuple[float, float]:
    """The smallest and the largest value that a quantizer does not clip."""
    scale, zero_point = (constants.get(name) for name in node.input[1:3])
    if scale is None or zero_point is None or zero_point.data_type not in _ENDS:
        raise GraphError(f"{node.name} quantizes by no constant scale and zero point of 8 bits; export again")
    step = float(numpy_helper.to_array(scale))
    integer = zero_point.data_type != TensorProto.FLOAT8E4M3FN
    zero = float(numpy_helper.to_array(zero_point)) if integer else 0.0
    low, high = (step * (end - zero) for end in _ENDS[zero_point.data_type])
    margin = _HALF_A_STEP * step if integer else 0.0
    return low - margin, high + margin


def _counting(
    graph: onnx.GraphProto, value: str, number: int, low: float, high: float
) -> list[onnx.NodeProto]:
    own = f"mixdq.tune.{number}"
    for name, end in ((f"{own}.low", low), (f"{own}.high", high)):
        graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, [], [end]))
    nodes = [helper.make_node("Cast", [value], [f"{own}.float"], to=TensorProto.FLOAT)]
    for kind, operators in (
        (_CLIPPED, (("Less", (f"{own}.float", f"{own}.low")), ("Greater", (f"{own}.float", f"{own}.high")))),
        (_BROKEN, (("IsNaN", (f"{own}.float",)), ("IsInf", (f"{own}.float",)))),
    ):
        parts = [f"{own}.{operator}" for operator, _ in operators]
        nodes += [
            helper.make_node(o, list(given), [out]) for (o, given), out in zip(operators, parts, strict=True)
        ]
        nodes += [
            helper.make_node("Or", parts, [f"{own}.{kind}or"]),
            helper.make_node("Cast", [f"{own}.{kind}or"], [f"{own}.{kind}number"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", [f"{own}.{kind}number"], [f"{kind}{number}"], keepdims=0),
        ]
        graph.output.append(helper.make_tensor_value_info(f"{kind}{number}", TensorProto.FLOAT, []))
    return nodes
