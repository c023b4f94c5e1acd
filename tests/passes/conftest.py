"""Small models to transform: layer tables, plans and ranges for graphs of a few lines of ONNX text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime
import pytest

from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import Precision
from mixdq.configs.ranges import CalibrationRun, Range, RangeTable

Arrays = list[npt.NDArray[Any]]


@pytest.fixture
def make_table() -> Callable[..., LayerTable]:
    """Layers by name, each with its weight's shape in torch's order; splits by name."""

    def make(shapes: Mapping[str, tuple[int, ...]], **splits: int) -> LayerTable:
        layers = tuple(
            LayerSpec(
                name=LayerName(name),
                kind=Kind.LINEAR if len(shape) == 2 else Kind.CONVOLUTION,
                weight_shape=shape,
                has_bias=False,
                split=splits.get(name.rpartition(".")[2]),
                macs={},
            )
            for name, shape in shapes.items()
        )
        return LayerTable(ModelIdentity("tiny", "a" * 64), layers)

    return make


@pytest.fixture
def make_plan() -> Callable[..., PrecisionPlan]:
    """A plan with the precisions given in words; BOS-aware, with split shortcuts, unless told."""

    def make(
        table: LayerTable, *precisions: str, bos_aware: bool = True, split_shortcuts: bool = True
    ) -> PrecisionPlan:
        texts = precisions * len(table) if len(precisions) == 1 else precisions
        layers = {layer.name: Precision.parse(text) for layer, text in zip(table, texts, strict=True)}
        return PrecisionPlan(table.digest, None, bos_aware, split_shortcuts, layers)

    return make


@pytest.fixture
def make_ranges() -> Callable[..., RangeTable]:
    """The same range for every layer's inputs, but for those named."""

    def make(
        table: LayerTable,
        same: tuple[float, float] = (-1, 2),
        others: Mapping[str, tuple[tuple[float, float], ...]] | None = None,
        bos: tuple[float, ...] = (0.0,),
        bos_change: float = 0.0,
    ) -> RangeTable:
        layers = {
            layer.name: tuple(
                Range(*pair)
                for pair in (others or {}).get(layer.name, (same,) * (1 if layer.split is None else 2))
            )
            for layer in table
        }
        calibration = CalibrationRun(1, "d" * 64, 0, (64,))
        return RangeTable(table.model, table.digest, calibration, bos, bos_change, Range(-9, 9), layers)

    return make


@pytest.fixture
def run_graph() -> Callable[[ir.Model, Mapping[str, npt.NDArray[Any]]], Arrays]:
    """A graph's outputs in ONNX Runtime, with no optimization: node by node as it is written."""

    def run(model: ir.Model, feeds: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return [np.asarray(output) for output in session.run(None, dict(feeds))]

    return run
