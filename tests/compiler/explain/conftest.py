"""A model of nine layers whose sums can be worked out by hand, plans and scores of it, and the command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.compiler.cli import main
from mixdq.compiler.explain.case import Case
from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import Precision
from mixdq.configs.sensitivity import (
    PAPER_METRICS,
    Measurement,
    Metric,
    Operand,
    Scores,
    SensitivityTable,
)

K = LayerName("mid_block.attentions.0.transformer_blocks.0.attn2.to_k")
V = LayerName("mid_block.attentions.0.transformer_blocks.0.attn2.to_v")
FF = LayerName("mid_block.attentions.0.transformer_blocks.0.ff.net.2")
Q = LayerName("mid_block.attentions.0.transformer_blocks.0.attn1.to_q")
TIME = LayerName("time_embedding.linear_1")
PROJECTION = LayerName("down_blocks.0.resnets.0.time_emb_proj")
SHORTCUT = LayerName("up_blocks.0.resnets.0.conv_shortcut")
CONV_IN, CONV_OUT = LayerName("conv_in"), LayerName("conv_out")

# Shapes, positions of the input at 64 pixels. Weights: 8, 12, 12, 40, 20, 20, 40, 40, 8, in all 200.
# MACs are positions times weights: 80, 12, 12, 400, 200, 1540, 3080, 400, 80, in all 5804.
# Values read are positions times inputs: 20, 3, 3, 100, 50, 385, 770, 40, 40, in all 1411.
_LAYERS: Mapping[LayerName, tuple[tuple[int, ...], int]] = {
    CONV_IN: ((4, 2, 1, 1), 10),
    TIME: ((4, 3), 1),
    PROJECTION: ((4, 3), 1),
    SHORTCUT: ((4, 10, 1, 1), 10),
    Q: ((4, 5), 10),
    K: ((4, 5), 77),
    V: ((4, 10), 77),
    FF: ((10, 4), 10),
    CONV_OUT: ((2, 4, 1, 1), 10),
}


def _layer(name: LayerName) -> LayerSpec:
    shape, positions = _LAYERS[name]
    kind = Kind.LINEAR if len(shape) == 2 else Kind.CONVOLUTION
    split = 6 if name == SHORTCUT else None
    bare = LayerSpec(name, kind, shape, has_bias=True, split=split, macs={})
    return replace(bare, macs={64: positions * bare.weights})


@pytest.fixture(scope="session")
def table() -> LayerTable:
    """Three layers of content, six of quality."""
    return LayerTable(ModelIdentity("nine", "9" * 64), tuple(map(_layer, _LAYERS)))


# At 2, 4 and 8 bits.
WEIGHT_SQNR: Scores = {
    CONV_IN: (10.0, 20.0, 40.0),
    TIME: (25.0, 45.0, 70.0),
    PROJECTION: (26.0, 46.0, 71.0),
    SHORTCUT: (11.0, 30.0, 50.0),
    Q: (20.0, 35.0, 60.0),
    K: (30.0, 41.0, 61.0),
    V: (31.0, 42.0, 62.0),
    FF: (28.0, 39.0, 59.0),
    CONV_OUT: (5.0, 15.0, 45.0),
}
ACTIVATION_SQNR: Scores = {
    CONV_IN: (1.0, 11.0, 31.0),
    TIME: (22.0, 52.0, 75.0),
    PROJECTION: (23.0, 53.0, 72.0),
    SHORTCUT: (12.0, 21.0, 42.0),
    Q: (21.0, 36.0, 63.0),
    K: (32.0, 43.0, 64.0),
    V: (33.0, 44.0, 65.0),
    FF: (29.0, 38.0, 58.0),
    CONV_OUT: (6.0, 16.0, 36.0),
}
WEIGHT_SSIM: Scores = {K: (0.90, 0.98, 0.9990), V: (0.80, 0.97, 0.9980), FF: (0.85, 0.96, 0.9985)}
ACTIVATION_SSIM: Scores = {K: (0.70, 0.95, 0.9950), V: (0.75, 0.94, 0.9960), FF: (0.60, 0.93, 0.9970)}


@pytest.fixture(scope="session")
def sensitivity(table: LayerTable) -> SensitivityTable:
    """The scores above."""
    return SensitivityTable(
        model=table.model,
        layers_digest=table.digest,
        measurement=Measurement(
            prompts=32, prompts_digest="p" * 64, seed=0, resolution=64, steps=1, bos_aware=True
        ),
        widths=dict.fromkeys(Operand, (2, 4, 8)),
        scores={
            Operand.WEIGHT: {Metric.SQNR: WEIGHT_SQNR, Metric.SSIM: WEIGHT_SSIM},
            Operand.ACTIVATION: {Metric.SQNR: ACTIVATION_SQNR, Metric.SSIM: ACTIVATION_SSIM},
        },
    )


MakePlan = Callable[..., PrecisionPlan]


@pytest.fixture(scope="session")
def make_plan(table: LayerTable) -> MakePlan:
    """A plan: the same precision for all layers but those that are given another."""

    def make(usual: str, others: Mapping[LayerName, str] | None = None) -> PrecisionPlan:
        words = dict.fromkeys(_LAYERS, usual) | dict(others or {})
        layers = {name: Precision.parse(word) for name, word in words.items()}
        return PrecisionPlan(table.digest, None, bos_aware=True, split_shortcuts=True, layers=layers)

    return make


@pytest.fixture(scope="session")
def mixed(make_plan: MakePlan) -> PrecisionPlan:
    """conv_in's activation protected, two weights of 4 bits, V's activation of 4."""
    return make_plan("W8A8", {CONV_IN: "W8A16", K: "W4A8", V: "W8A4", Q: "W4A8"})


MakeCase = Callable[..., Case]


@pytest.fixture(scope="session")
def make_case(table: LayerTable, sensitivity: SensitivityTable) -> MakeCase:
    """A plan with these scores, or others, or none."""

    def make(plan: PrecisionPlan, scores: SensitivityTable | None = sensitivity) -> Case:
        return Case(table, plan, scores, PAPER_METRICS, 64)

    return make


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `mixdq-compile`: its exit code, what it printed, and its error."""
    monkeypatch.setenv("COLUMNS", "300")

    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return run


@pytest.fixture
def folder(table: LayerTable, sensitivity: SensitivityTable, mixed: PrecisionPlan, tmp_path: Path) -> Path:
    """A folder with `layers.json`, `sensitivity.json` and `plan.yaml`."""
    table.write(tmp_path / "layers.json")
    sensitivity.write(tmp_path / "sensitivity.json")
    mixed.write(tmp_path / "plan.yaml")
    return tmp_path
