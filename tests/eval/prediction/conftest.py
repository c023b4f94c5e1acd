"""A model of four layers, two in each group, with scores that are easily added up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mixdq.compiler.allocate.subject import PAPER_WIDTHS, Subject
from mixdq.configs.layers import Group, Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.sensitivity import PAPER_METRICS, Metric, Operand, SensitivityTable
from mixdq.eval.prediction.judged import JudgedPlan
from mixdq.export.judgement import Fidelity

_FF = "down_blocks.0.attentions.0.transformer_blocks.0.ff.net"
_NAMES = ("conv_in", f"{_FF}.0.proj", f"{_FF}.2", "conv_out")


@pytest.fixture
def subject() -> Subject:
    """Layers of 12, 24, 36 and 48 weights; at 2, 4 and 8 bits 10, 20 and 40 dB, and an SSIM of .8, .9, 1."""
    layers = tuple(
        LayerSpec(LayerName(name), Kind.LINEAR, (4, 3 * number), True, None, {64: 12 * number * 10})
        for number, name in enumerate(_NAMES, start=1)
    )
    table = LayerTable(ModelIdentity("four", "4" * 64), layers)
    content = [layer.name for layer in table if layer.group is Group.CONTENT]
    scores = {
        Metric.SQNR: {layer.name: (10.0, 20.0, 40.0) for layer in table},
        Metric.SSIM: dict.fromkeys(content, (0.8, 0.9, 1.0)),
    }
    sensitivity = SensitivityTable(
        model=table.model,
        layers_digest=table.digest,
        measurement=None,
        widths=dict.fromkeys(Operand, (2, 4, 8)),
        scores=dict.fromkeys(Operand, scores),
    )
    return Subject(table, sensitivity, PAPER_METRICS, PAPER_WIDTHS, 64, frozenset({layers[0].name}))


MakePlan = Callable[..., JudgedPlan]


@pytest.fixture
def make_plan() -> MakePlan:
    """A plan of which all measures give one number."""

    def make(kind: str, budget: str, expected: float, found: float) -> JudgedPlan:
        figures = Fidelity(found, found, found, found, found)
        predicted = {"objective": expected, "added_noise_db": -expected}
        return JudgedPlan(kind, budget, f"{kind} {budget}", 5.0, 8.0, predicted, figures)

    return make
