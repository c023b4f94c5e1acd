"""The quantized graph of emoji-turbo against its torch simulation."""

from pathlib import Path

import numpy as np
import pytest

from mixdq.compiler.graphs import write_graphs
from mixdq.configs.bundle import Component
from mixdq.configs.errors import BundleError
from mixdq.configs.layers import LayerTable
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.sqnr import sqnr_db
from mixdq.configs.target import Dialect, Layout
from mixdq.eval.agreement import Agreement, measure_agreement
from mixdq.eval.agreement_report import measure_bundle
from mixdq.export.source import open_source

LAYER_FLOOR_DB = 60.0


def _measure(bundle: Path, graph: Path, dialect: Dialect) -> Agreement:
    return measure_agreement(
        open_source(ModelChoice("emoji-turbo")),
        graph,
        table=LayerTable.read(bundle / "layers.json"),
        plan=PrecisionPlan.read(bundle / "plan.yaml"),
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
    source = open_source(ModelChoice("emoji-turbo"))
    graphs = write_graphs(
        skeleton=emoji_folder / "work" / "source" / "unet.onnx",
        reader=source.weights["unet"].open(),
        component=Component.UNET,
        out=tmp_path,
        dialect=Dialect.TENSORRT,
        layout=Layout.PER_RESOLUTION,
        resolutions=(128,),
        batch=1,
        table=LayerTable.read(emoji_w8a8 / "layers.json"),
        plan=plan,
        ranges=RangeTable.read(emoji_w8a8 / "ranges.json"),
        report=lambda phase, done, total: None,
    )
    agreement = _measure(emoji_w8a8, graphs[128].graph, Dialect.TENSORRT)
    assert set(agreement.layers) == {name for name in plan.layers if plan[name].quantizes_weight}
    assert min(agreement.layers.values()) >= LAYER_FLOOR_DB


def test_a_bundle_with_nothing_quantized_is_refused(emoji_full: Path) -> None:
    with pytest.raises(BundleError, match="holds no quantized layer"):
        measure_bundle(emoji_full, "emoji-turbo", resolution=128, prompt="red apple", seed=3)
