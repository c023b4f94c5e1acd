"""A layer by itself in a folder: graph, input, expected output, and the command that shows the fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from mixdq.configs.files import write_text, writing
from mixdq.eval.compare.layer_graph import LayerGraph
from mixdq.eval.compare.planned import Array
from mixdq.eval.compare.polygraphy_files import write_inputs, write_outputs

_TYPES = {onnx.TensorProto.FLOAT16: np.float16, onnx.TensorProto.FLOAT: np.float32}


def write_repro(
    folder: Path, name: str, part: LayerGraph, activation: Array, expected: Array, least_db: float
) -> None:
    """Writes `model.onnx`, `inputs.json`, `expected.json` and a `README.md` with Polygraphy's command.

    Args:
        folder: where to.
        name: the layer.
        part: its part of the graph.
        activation: its whole input.
        expected: the simulation's output.
        least_db: the floor that it is below.

    Raises:
        StorageError: the disk is full or the folder can't be written.
    """
    model = part.model
    with writing(folder / "model.onnx") as temporary:
        onnx.save(model, temporary)
    types = {value.name: _TYPES[value.type.tensor_type.elem_type] for value in model.graph.input}
    inputs = {key: array.astype(types[key]) for key, array in part.feed(activation).items()}
    write_inputs(folder / "inputs.json", inputs)
    output = _TYPES[model.graph.output[0].type.tensor_type.elem_type]
    write_outputs(folder / "expected.json", "simulation", {part.output: expected.astype(output)}, None)
    write_text(
        folder / "README.md",
        f"`{name}` alone, with the input and the output that the plan's simulation has. In this folder:\n\n"
        f"    polygraphy run model.onnx --onnxrt --load-inputs inputs.json --load-outputs expected.json "
        f"--compare snr --snr-threshold {least_db:g}\n",
    )
