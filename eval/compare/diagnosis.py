"""What is wrong with a layer of a graph, as far as its constants tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from mixdq.configs.layers import LayerSpec
from mixdq.configs.quantizer import ActivationQuantizer
from mixdq.eval.compare.planned import Array, Planned
from mixdq.passes.layers import LayerNode
from mixdq.passes.precompute_bos import bos_constant_name

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"

FLOAT_TOLERANCE = 2e-3
"""Relative to the largest value: weights, biases and token 0's products may have been rounded to FP16."""

CONSTANTS_AS_PLANNED = "its constants are as planned: one of its operators computes something else"


@dataclass(frozen=True, slots=True)
class LayerValues:
    """A layer's values in full precision, in torch's form: weight `[out, in, …]`, bias `[out]` or none."""

    weight: Array
    bias: Array | None


def diagnose(
    layer: LayerSpec, parts: tuple[ir.Node, ...], graph: ir.Graph, values: LayerValues, planned: Planned
) -> tuple[str, ...]:
    """Compares a layer's constants with the plan, the ranges and the model's weights.

    Args:
        layer: which layer.
        parts: its node, or the two of a split shortcut.
        graph: the graph that they are in.
        values: the model's own.
        planned: what the graph must hold.

    Returns:
        What deviates, a line each; one line that nothing does.
    """
    found: list[str] = []
    weights = [values.weight]
    if planned.plan.splits(layer):
        weights = [values.weight[:, : layer.split], values.weight[:, layer.split :]]
    for index, (node, weight, quantizer) in enumerate(
        zip(parts, weights, planned.quantizers(layer), strict=True)
    ):
        part = LayerNode(node)
        centered = planned.realized(layer).centered
        faults = [
            *_activation_faults(part, quantizer, centered=centered),
            *_weight_faults(part, layer, weight, planned),
        ]
        half = "" if len(parts) == 1 else f"half {index + 1} of its split: "
        found += [f"{half}{fault}" for fault in faults]
    if not planned.realized(layer).centered:  # else the centre's product is in it
        found += _bias_faults(parts[0], values)
    if planned.plan.takes_bos_out(layer):
        found += _bos_faults(layer, graph, values, planned)
    return tuple(found) or (CONSTANTS_AS_PLANNED,)


def _activation_faults(
    part: LayerNode, quantizer: ActivationQuantizer | None, *, centered: bool
) -> Iterator[str]:
    pair = _producer(part.activation, _DEQUANTIZE)
    if (pair is not None) != (quantizer is not None):
        yield f"its input is {'' if pair else 'not '}quantized, the plan says otherwise"
    if pair is None or quantizer is None:
        return
    quantize = _producer(pair.inputs[0], _QUANTIZE)
    if quantize is None:
        yield "its input has a DequantizeLinear and no QuantizeLinear"
        return
    planned = float(quantizer.scale)
    scales, zero_points = _parameters(quantize, pair, 1), _parameters(quantize, pair, 2)
    if any(scale != planned for scale in scales):
        ratios = " and ".join(f"{scale / planned:.4g}" for scale in dict.fromkeys(scales))
        yield f"the scale of its input is {_both(scales)}, planned {planned:.6g} (times {ratios})"
    wanted = 0 if centered else quantizer.zero_point
    if any(zero_point != wanted for zero_point in zero_points):
        yield f"the zero point of its input is {_both(zero_points)}, planned {wanted}"


def _parameters(quantize: ir.Node, dequantize: ir.Node, index: int) -> list[float]:
    """A parameter of both nodes of a pair; a zero point that is left out is 0."""
    found = []
    for node in (quantize, dequantize):
        constant = _constant(node.inputs[index]) if len(node.inputs) > index else None
        found.append(0.0 if constant is None else float(constant))
    return found


def _both(values: list[float]) -> str:
    first, second = values
    return f"{first:.6g}" if first == second else f"{first:.6g} (quantizing) and {second:.6g} (dequantizing)"


def _weight_faults(part: LayerNode, layer: LayerSpec, weight: Array, planned: Planned) -> Iterator[str]:
    node, precision = _producer(part.weight, _DEQUANTIZE), planned.plan[layer.name]
    if (node is not None) != precision.quantizes_weight:
        yield f"its weight is {'' if node else 'not '}quantized, the plan says otherwise"
        return
    wanted = weight if part.channel_axis == 0 else weight.T
    if node is None:
        yield from _float_faults("its weight", _constant(part.weight), wanted)
        return
    stored, scale = _constant(node.inputs[0]), _constant(node.inputs[1])
    quantizer = planned.realized(layer).weight
    scales = quantizer.scales(wanted, outputs=part.channel_axis)
    numbers = quantizer.quantize(wanted, scales, outputs=part.channel_axis)
    if scale is None or scale.shape != scales.shape:
        yield f"the scale of its weight is no constant of {scales.size} {_sharing(scales)}"
    elif (wrong := np.flatnonzero(_apart(scale, scales))).size:
        ratio = float(scale.flat[wrong[0]]) / float(scales.flat[wrong[0]])
        yield (
            f"the scale of its weight deviates in {_which(wrong, scales)}: times {ratio:.4g} in "
            f"{_sharing(scales).removesuffix('s')} {wrong[0]}"
        )
    if stored is None or stored.shape != numbers.shape:
        yield f"its weight is no constant of the shape {numbers.shape}"
    elif changed := int((stored.astype(np.float32) != numbers.astype(np.float32)).sum()):
        yield f"{changed} of {numbers.size} integers of its weight are others than planned"


def _sharing(scales: Array) -> str:
    return "channels" if scales.ndim == 1 else "blocks" if scales.ndim else "tensors"


def _bias_faults(node: ir.Node, values: LayerValues) -> Iterator[str]:
    if values.bias is None:
        return
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None:
        added = [user for user in node.outputs[0].consumers() if user.op_type == "Add"]
        constants = [value for user in added for value in user.inputs if _constant(value) is not None]
        bias = constants[0] if constants else None
    yield from _float_faults("its bias", _constant(bias), values.bias)


def _bos_faults(layer: LayerSpec, graph: ir.Graph, values: LayerValues, planned: Planned) -> Iterator[str]:
    assert planned.ranges is not None
    constant = _constant(graph.initializers.get(bos_constant_name(layer.name)))
    row = values.weight.astype(np.float64) @ np.asarray(planned.ranges.constant_bos())
    rows = None if constant is None else constant.reshape(-1, constant.shape[-1])[0]
    yield from _float_faults("its output for token 0", rows, row)


def _float_faults(what: str, found: Array | None, wanted: Array) -> Iterator[str]:
    if found is None or found.size != wanted.size:
        yield f"{what} is no constant of {wanted.size} values"
        return
    largest = float(np.abs(wanted).max())
    apart = float(np.abs(found.reshape(wanted.shape).astype(np.float64) - wanted).max())
    if apart > FLOAT_TOLERANCE * largest:
        yield f"{what} is off by {apart:.4g} at the most, where its largest value is {largest:.4g}"


def _apart(found: Array, wanted: Array) -> Array:
    # One FP16 step: of a weight that was rounded to FP16 before its absolute maximum was taken.
    return ~np.isclose(found.astype(np.float64), wanted.astype(np.float64), rtol=FLOAT_TOLERANCE, atol=0)


def _which(wrong: Array, scales: Array) -> str:
    if wrong.size == scales.size:
        return f"all {scales.size} {_sharing(scales)}"
    few = ", ".join(str(index) for index in wrong[:5])
    return f"{wrong.size} of {scales.size} {_sharing(scales)} ({few}{', …' if wrong.size > 5 else ''})"


def _constant(value: ir.Value | None) -> Array | None:
    return None if value is None or value.const_value is None else value.const_value.numpy()


def _producer(value: ir.Value | None, op_type: str) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == op_type else None
