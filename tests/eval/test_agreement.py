"""The quantized graph of emoji-turbo against its torch simulation."""

from pathlib import Path

import numpy as np
import pytest

from mixdq.compiler.graphs import write_graphs
from mixdq.compiler.legal.choices import Rules
from mixdq.compiler.legal.legalize import legalize
from mixdq.configs.bundle import Component
from mixdq.configs.capability import find_capability
from mixdq.configs.errors import BundleError
from mixdq.configs.form import WeightFormat
from mixdq.configs.layers import LayerTable
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import Precision
from mixdq.configs.ranges import RangeTable
from mixdq.configs.sqnr import sqnr_db
from mixdq.configs.target import Dialect, Layout
from mixdq.eval.agreement import Agreement, measure_agreement
from mixdq.eval.agreement_report import measure_bundle
from mixdq.export.source import open_source

LAYER_FLOOR_DB = 60.0


def _written(folder: Path, bundle: Path, plan: PrecisionPlan, dialect: Dialect, out: Path) -> Path:
    graphs = write_graphs(
        skeleton=folder / "work" / "source" / "unet.onnx",
        reader=open_source(ModelChoice("emoji-turbo")).weights["unet"].open(),
        component=Component.UNET,
        out=out,
        dialect=dialect,
        layout=Layout.PER_RESOLUTION,
        resolutions=(128,),
        batch=1,
        table=LayerTable.read(bundle / "layers.json"),
        plan=plan,
        ranges=RangeTable.read(bundle / "ranges.json"),
        report=lambda phase, done, total: None,
    )
    return graphs[128].graph


def _measure(bundle: Path, plan: PrecisionPlan, graph: Path, dialect: Dialect) -> Agreement:
    return measure_agreement(
        open_source(ModelChoice("emoji-turbo")),
        graph,
        table=LayerTable.read(bundle / "layers.json"),
        plan=plan,
        ranges=RangeTable.read(bundle / "ranges.json"),
        dialect=dialect,
        resolution=128,
        prompt="red apple",
        seed=3,
    )


def test_sqnr_by_hand_and_of_equal_arrays() -> None:
    assert sqnr_db(np.array([1.0, 1.9]), np.array([1.0, 2.0])) == pytest.approx(10 * np.log10(5 / 0.01))
    assert sqnr_db(np.ones(2), np.ones(2)) == 200.0


def test_every_quantized_layer_agrees_with_the_simulation_on_the_same_input(emoji_w8a8: Path) -> None:
    report = measure_bundle(emoji_w8a8, "emoji-turbo", resolution=128, prompt="red apple", seed=3)
    assert list(report.dialects) == [Dialect.ORT]
    agreement = report.dialects[Dialect.ORT]
    plan = PrecisionPlan.read(emoji_w8a8 / "plan.yaml")
    assert set(agreement.layers) == {name for name in plan.layers if plan[name].quantizes_weight}
    assert min(agreement.layers.values()) >= LAYER_FLOOR_DB
    # As a whole, no worse than two correct kernel sets are among themselves, unless these never flipped.
    assert agreement.noise_prediction >= min(agreement.kernel_spread - 6, 40)
    assert agreement.image >= min(agreement.image_spread - 6, 30)


def test_every_layer_of_tensorrts_fp16_graph_agrees_as_well(
    emoji_folder: Path, emoji_w8a8: Path, tmp_path: Path
) -> None:
    plan = PrecisionPlan.read(emoji_w8a8 / "plan.yaml")
    graph = _written(emoji_folder, emoji_w8a8, plan, Dialect.TENSORRT, tmp_path)
    agreement = _measure(emoji_w8a8, plan, graph, Dialect.TENSORRT)
    assert set(agreement.layers) == {name for name in plan.layers if plan[name].quantizes_weight}
    assert min(agreement.layers.values()) >= LAYER_FLOOR_DB


def test_four_bit_weights_on_the_cpu_are_multiplied_in_float_as_the_simulation_does(
    emoji_folder: Path, emoji_w8a8: Path, tmp_path: Path
) -> None:
    table = LayerTable.read(emoji_w8a8 / "layers.json")
    wish = uniform_plan(table, Precision(4, 16), keep=(), protect=(), bos_aware=True, split_shortcuts=True)
    plan = legalize(wish, table, Rules(find_capability("cpu"), 32, unwritten=False)).plan
    assert plan.realization is not None
    assert {form.weight for form in plan.realization.forms.values()} == {WeightFormat.INT4}
    graph = _written(emoji_folder, emoji_w8a8, plan, Dialect.ORT, tmp_path)
    agreement = _measure(emoji_w8a8, plan, graph, Dialect.ORT)
    # With inputs in eight bits, as ONNX Runtime has them unless it is told, the output is 67 dB away.
    assert min(agreement.layers.values()) >= 100
    assert agreement.noise_prediction >= 100


def test_a_bundle_with_nothing_quantized_is_refused(emoji_full: Path) -> None:
    with pytest.raises(BundleError, match="holds no quantized layer"):
        measure_bundle(emoji_full, "emoji-turbo", resolution=128, prompt="red apple", seed=3)
