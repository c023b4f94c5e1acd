"""Graphs in ONNX Runtime with the options of `mixdq.runtime`, for comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from mixdq.configs.errors import GraphError
from mixdq.configs.target import ORT_DISABLED_OPTIMIZERS, ORT_EXACT_PRODUCTS
from mixdq.passes.name_blocks import BLOCK_PREFIX

_ERRORS_ONLY = 3
_TYPES = {"tensor(float16)": np.float16, "tensor(float)": np.float32}

Array = npt.NDArray[Any]


def open_session(model: Path | bytes, folder: Path | None = None) -> ort.InferenceSession:
    """Opens a graph on the CPU.

    Args:
        model: a file, or a serialized model.
        folder: where a serialized model's external data lies; None if it has none.

    Raises:
        GraphError: ONNX Runtime refuses it.
    """
    options = ort.SessionOptions()
    options.add_session_config_entry(*ORT_EXACT_PRODUCTS)
    options.log_severity_level = _ERRORS_ONLY
    if folder is not None:
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(folder.absolute())
        )
    try:
        return ort.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=list(ORT_DISABLED_OPTIMIZERS),
        )
    except Exception as error:  # ONNX Runtime's exceptions share no base but this one
        name = "the graph" if isinstance(model, bytes) else str(model)
        raise GraphError(f"ONNX Runtime {ort.__version__} refused {name}: {error}") from error


def open_with_blocks(graph: Path) -> ort.InferenceSession:
    """Opens a UNet graph that gives every block's output behind its own.

    Raises:
        GraphError: the file is no ONNX graph, or ONNX Runtime refuses it.
    """
    model = read_graph(graph)
    kind = model.graph.output[0].type.tensor_type.elem_type
    for name in block_names(model):
        value = onnx.helper.make_tensor_value_info(f"{BLOCK_PREFIX}{name}", kind, None)
        model.graph.output.append(value)
    return open_session(model.SerializeToString(), graph.parent)


def read_graph(path: Path) -> onnx.ModelProto:
    """A graph without its external data.

    Raises:
        GraphError: there is none that can be read.
    """
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's decoder raises types of its own
        raise GraphError(f"{path} is no ONNX graph that can be read: {error}") from error


def block_names(model: onnx.ModelProto) -> tuple[str, ...]:
    """The module paths of the blocks whose outputs a graph names, in its order."""
    outputs = [name for node in model.graph.node for name in node.output]
    return tuple(name.removeprefix(BLOCK_PREFIX) for name in outputs if name.startswith(BLOCK_PREFIX))


def feeds(session: ort.InferenceSession, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays in the types that a session's inputs ask for."""
    return {value.name: arrays[value.name].astype(_TYPES[value.type]) for value in session.get_inputs()}
