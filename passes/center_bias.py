"""What a centre that was subtracted from an activation contributes to a layer, in its bias."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from mixdq.passes.errors import GraphFormError
from mixdq.passes.layers import LayerNode, add_initializer, drop_unused, new_node

CENTERED = ".centered"
"""The end of the names of what a centre brings into a graph."""

Float64Array = npt.NDArray[np.float64]


def weight_sums(layer: LayerNode) -> Float64Array:
    """`[outputs]`: the sums of the weights that the graph stores, dequantized in FP64.

    Each is over all that one output reads.
    """
    node = layer.weight.producer()
    if node is None or node.op_type != "DequantizeLinear":
        raise GraphFormError(f"the weight of {layer.name} is not quantized, though its input is")
    stored, scales = (constant_array(value).astype(np.float64) for value in node.inputs[:2])
    axis = node.attributes.get_int("axis", 1)
    if block := node.attributes.get_int("block_size", 0):
        real = stored * scales.repeat(block, axis=axis)
    elif scales.ndim:
        real = stored * scales.reshape([-1 if each == axis else 1 for each in range(stored.ndim)])
    else:
        real = stored * scales
    sums: Float64Array = real.sum(axis=tuple(a for a in range(real.ndim) if a != layer.channel_axis))
    return sums


def add_to_bias(graph: ir.Graph, layer: LayerNode, product: Float64Array, dtype: ir.DataType) -> None:
    """Adds `[outputs]` to what a layer gives: to its bias, or by an Add where a MatMul has none.

    Raises:
        GraphFormError: a bias that is no constant, or that `dtype` can't hold.
    """
    node = layer.node
    if node.op_type == "MatMul":
        adders = [user for user in node.outputs[0].consumers() if user.op_type == "Add"]
        adder = adders[0] if len(adders) == len(node.outputs[0].consumers()) == 1 else None
        index = next((i for i, v in enumerate(adder.inputs) if _is_bias(v, product)), None) if adder else None
        if adder is None or index is None:
            _append_add(graph, layer, _bias(graph, layer, product, dtype), dtype)
            return
        node, at = adder, index
    else:
        _check_gemm(layer)
        at = 2
    old = node.inputs[at] if len(node.inputs) > at else None
    if old is None:
        node.resize_inputs(at + 1)
    elif not _is_bias(old, product):
        raise GraphFormError(f"the bias of {layer.name} is no constant of {product.size} values")
    before = 0 if old is None else constant_array(old).astype(np.float64)
    node.replace_input_with(at, _bias(graph, layer, before + product, dtype))
    if old is not None:
        drop_unused(graph, old)


def constant_array(value: ir.Value | None) -> npt.NDArray[np.generic]:
    """A constant's values.

    Raises:
        GraphFormError: it is none.
    """
    if value is None or value.const_value is None:
        raise GraphFormError(f"{'an input' if value is None else value.name} is no constant of the graph")
    return value.const_value.numpy()


def _append_add(graph: ir.Graph, layer: LayerNode, bias: ir.Value, dtype: ir.DataType) -> None:
    output = layer.node.outputs[0]
    node = new_node("Add", f"{layer.name}{CENTERED}", [output, bias], dtype=dtype, shape=output.shape)
    output.replace_all_uses_with(node.outputs[0], replace_graph_outputs=True)
    node.replace_input_with(0, output)
    graph.insert_after(layer.node, node)


def _bias(graph: ir.Graph, layer: LayerNode, values: Float64Array, dtype: ir.DataType) -> ir.Value:
    with np.errstate(over="ignore"):
        stored = values.astype(dtype.numpy())
    if not np.isfinite(stored).all():
        raise GraphFormError(
            f"the bias of {layer.name} grows to {np.abs(values).max():.3g} with its centre, beyond "
            f"{dtype.name}; leave its activation symmetric: --activations plain, or --protect {layer.name}"
        )
    return add_initializer(graph, f"{layer.name}.bias{CENTERED}", stored)


def _check_gemm(layer: LayerNode) -> None:
    for name in ("alpha", "beta"):
        attribute = layer.node.attributes.get(name)
        if attribute is not None and attribute.as_float() != 1:
            raise GraphFormError(f"{layer.name} scales by {name}; export the model again")


def _is_bias(value: ir.Value | None, product: Float64Array) -> bool:
    return (
        value is not None
        and value.const_value is not None
        and value.const_value.shape.numpy() == product.shape
    )
