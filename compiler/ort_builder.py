"""Engines for ONNX Runtime: the ONNX graph itself, checked by loading it as the runtime will."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixdq.compiler.built import Built
from mixdq.compiler.worker import Report
from mixdq.configs.bundle import SYMBOLIC, TensorSpec
from mixdq.configs.errors import GraphError, TargetError
from mixdq.configs.target import ORT_DISABLED_OPTIMIZERS, ORT_EXACT_PRODUCTS

if TYPE_CHECKING:
    import onnxruntime

_ERRORS_ONLY = 3
_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}


def require_onnxruntime() -> None:
    """Refuses the target `cpu` where ONNX Runtime is missing; imports nothing.

    Raises:
        TargetError: says what to install.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise TargetError(
            "target cpu needs ONNX Runtime, but it is not installed; install it with `pip install mixdq`"
        )


def check_onnxruntime(
    report: Report, graph: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> Built:
    """Loads a graph and its weights on the CPU and compares its inputs and outputs.

    Args:
        report: told that the graph is loading.
        graph: the ONNX file, its weights beside it.
        inputs: the tensors that the graph must take.
        outputs: the tensors that it must give.

    Raises:
        GraphError: ONNX Runtime refuses the graph, or its tensors are others.
        TargetError: ONNX Runtime is missing.
    """
    require_onnxruntime()
    import onnxruntime

    report("loading", 0, None)
    session = _open(graph)
    for what, found, expected in (
        ("inputs", session.get_inputs(), inputs),
        ("outputs", session.get_outputs(), outputs),
    ):
        got = {arg.name: (_TYPES.get(arg.type, arg.type), _sizes(arg)) for arg in found}
        wanted = {spec.name: (spec.dtype, spec.shape) for spec in expected}
        if got != wanted:
            raise GraphError(f"{graph.name} has the {what} {got}, expected {wanted}; export the model again")
    return Built(f"onnxruntime {onnxruntime.__version__}", "cpu")


def _sizes(arg: onnxruntime.NodeArg) -> tuple[int, ...]:
    """A tensor's shape; ONNX Runtime gives a symbolic size by its name, or as None."""
    return tuple(size if isinstance(size, int) else SYMBOLIC for size in arg.shape)


def _open(graph: Path) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(*ORT_EXACT_PRODUCTS)
    options.log_severity_level = _ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(
            str(graph),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=list(ORT_DISABLED_OPTIMIZERS),
        )
    except Exception as error:  # ONNX Runtime's exceptions share no base but this one
        raise GraphError(f"ONNX Runtime refused {graph.name}: {error}") from error
