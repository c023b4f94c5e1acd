"""Engines that ONNX Runtime executes on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort

from mixdq.configs.bundle import EngineRecord
from mixdq.configs.errors import BundleError
from mixdq.configs.target import ORT_DISABLED_OPTIMIZERS
from mixdq.runtime.engine import Array

_ERRORS_ONLY = 3


class OnnxEngine:
    """A graph in ONNX Runtime, on the CPU."""

    def __init__(self, record: EngineRecord, path: Path, threads: int | None) -> None:
        """Loads a graph whose files were checked.

        Args:
            record: the engine's entry in the bundle.
            path: the graph's file.
            threads: threads of one run; None for one a physical core.

        Raises:
            BundleError: ONNX Runtime can't load the graph.
        """
        self.record = record
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = ort.InferenceSession(
                path,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=list(ORT_DISABLED_OPTIMIZERS),
            )
        except Exception as error:
            raise BundleError(
                f"ONNX Runtime {ort.__version__} can't load {path}, which was made with {record.builder}: "
                f"{error}; install the version that made it, or build the bundle again"
            ) from error

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Executes the graph once; see `Engine.run`."""
        names = [spec.name for spec in self.record.outputs]
        return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))
