"""What ONNX Runtime makes of a graph: which planned layers it computes in integers."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from mixdq.compiler.lint.finding import EngineLayers, Finding, Severity
from mixdq.compiler.lint.subject import Planned, quantized_inputs
from mixdq.compiler.worker import Report
from mixdq.configs.errors import GraphError
from mixdq.configs.target import ORT_DISABLED_OPTIMIZERS, ORT_EXACT_PRODUCTS

RULE = "engine-not-quantized"
_TODO = "where time counts, leave its input in floating point for this target: the pair only adds to it"
_ERRORS_ONLY = 3
_INTEGER_KERNELS = ("Integer", "QLinear", "QGemm", "QAttention")


def optimized_kinds(report: Report, graph: Path) -> Mapping[str, str]:
    """The kernels that ONNX Runtime would run, by node name, with the options of `mixdq.runtime`.

    Raises:
        GraphError: ONNX Runtime refuses the graph.
    """
    import onnx
    import onnxruntime

    report("opening", 0, None)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(*ORT_EXACT_PRODUCTS)
    options.log_severity_level = _ERRORS_ONLY
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(optimized)
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", "optimized.weights"
        )
        try:
            onnxruntime.InferenceSession(
                str(graph),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=list(ORT_DISABLED_OPTIMIZERS),
            )
        except Exception as error:  # ONNX Runtime's exceptions share no base but this one
            raise GraphError(f"ONNX Runtime {onnxruntime.__version__} refused {graph}: {error}") from error
        model = onnx.load(optimized, load_external_data=False)
    return {node.name: node.op_type for node in model.graph.node if node.name}


def judge(engine: str, target: str, kinds: Mapping[str, str], planned: Planned) -> EngineLayers:
    """Compares the kernels with the plan; what is planned and computed in floating point is a note.

    It draws the same pictures, and it is not the plan's fault: ONNX Runtime has integer kernels for products,
    and for convolutions only where their output is quantized as well. But such a layer is slower than in full
    precision by its pair.

    Args:
        engine: the graph.
        target: what it is for.
        kinds: the kernels by node.
        planned: the plan.
    """
    wanted = [name for name in quantized_inputs(planned) if name in kinds]
    floating = [name for name in wanted if not any(word in kinds[name] for word in _INTEGER_KERNELS)]
    findings = tuple(
        Finding(
            RULE, name, f"ONNX Runtime computes it in floating point ({kinds[name]})", _TODO, Severity.NOTE
        )
        for name in floating
    )
    said = f"{len(wanted) - len(floating)} of {len(wanted)} quantized inputs meet a kernel of integers"
    return EngineLayers(engine, target, True, said, findings)
