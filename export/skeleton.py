"""Skeletons: exported graphs without weights, and the weights that are put into them when they are read.

A skeleton depends on a model's configurations alone, so every checkpoint of one architecture shares it. Each
weight is an input of the graph that says in its metadata which tensor of the checkpoint it stands for; once
attached it is a constant that is read, converted and forgotten whenever somebody asks for its values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from mixdq.configs.errors import GraphError, ModelError
from mixdq.export.weights.reader import WeightReader
from mixdq.export.weights.tensor_file import all_finite, largest_finite

_PAGE_BYTES = 4096
_NAME, _TRANSPOSED = "mixdq.weight", "mixdq.weight_transposed"


def strip_weights(model: ir.Model, prefix: str, buffers: Mapping[str, npt.NDArray[Any]]) -> None:
    """Turns the parameters of an exported graph, which have no values, into inputs that name them.

    Args:
        model: an exported graph whose parameters are initializers called `<prefix>.<state-dict name>`.
        prefix: the attribute of the exported module that holds the network.
        buffers: values of the module that are no parameters, by name: the graph gets them back.
    """
    graph = model.graph
    for name, value in list(graph.initializers.items()):
        if name in buffers:
            value.const_value = ir.tensor(buffers[name], name=name)
        elif name.startswith(f"{prefix}."):
            del graph.initializers[name]
            value.const_value = None
            value.metadata_props[_NAME] = name.removeprefix(f"{prefix}.")
            graph.inputs.append(value)


def fold_transposes(model: ir.Model) -> None:
    """Lets a product that reads a weight through a Transpose read the transposed weight.

    Linear layers hold `[out, in]`, and MatMul wants `[in, out]`.
    """
    graph = model.graph
    for weight in list(_weights(graph)):
        readers = weight.consumers()
        if len(readers) != 1 or readers[0].op_type != "Transpose" or weight.shape is None:
            continue
        node = readers[0]
        if len(weight.shape) != 2 or node.attributes.get_ints("perm", (1, 0)) != (1, 0):
            continue
        node.outputs[0].replace_all_uses_with(weight)
        graph.remove(node, safe=False)
        weight.shape = ir.Shape(list(weight.shape)[::-1])
        weight.metadata_props[_TRANSPOSED] = "true"


def attach_weights(model: ir.Model, reader: WeightReader) -> None:
    """Makes every weight of a skeleton a constant; values of more than a page are read when asked for.

    Raises:
        GraphError: the graph is no skeleton.
        ModelError: now or when a constant is read: it is missing, wrongly shaped, or beyond the graph's type.
    """
    graph = model.graph
    weights = list(_weights(graph))
    if not weights:
        raise GraphError("the exported graph names no weights; run `mixdq-compile export` again")
    for weight in weights:
        graph.inputs.remove(weight)
        weight.const_value = _constant(weight, reader)
        graph.register_initializer(weight)


def _weights(graph: ir.Graph) -> Iterator[ir.Value]:
    return (value for value in graph.inputs if _NAME in value.metadata_props)


def _constant(weight: ir.Value, reader: WeightReader) -> ir.TensorProtocol:
    assert weight.shape is not None
    assert weight.dtype is not None
    shape = tuple(int(size) for size in weight.shape.numpy())
    name, transposed = weight.metadata_props[_NAME], _TRANSPOSED in weight.metadata_props
    stored = shape[::-1] if transposed else shape
    dtype = weight.dtype

    def read() -> ir.TensorProtocol:
        array = _as_type(reader.read(name, stored), dtype.numpy(), name, reader.where)
        return ir.Tensor(np.transpose(array) if transposed else array, name=weight.name)

    lazy = ir.LazyTensor(read, dtype=dtype, shape=ir.Shape(shape), name=weight.name)
    # What is small is written into the graph itself, by code that wraps errors in its own.
    return lazy if lazy.nbytes > _PAGE_BYTES else read()


def _as_type(values: npt.NDArray[Any], kind: np.dtype[Any], name: str, where: str) -> npt.NDArray[Any]:
    with np.errstate(over="ignore"):  # said below, by name
        converted = values.astype(kind, copy=False)
    limit = largest_finite(kind)
    if largest_finite(values.dtype) > limit and not all_finite(converted):
        largest = float(np.abs(values.astype(np.float32)).max())
        raise ModelError(
            f"{where} holds {name} as {values.dtype} with values up to {largest:.6g}, beyond the {limit:.6g} "
            f"that {kind}, the type of the graph's weights, can hold; use weights that were made for {kind} "
            "(`--variant fp16`), or for a VAE another --vae-precision"
        )
    return converted
