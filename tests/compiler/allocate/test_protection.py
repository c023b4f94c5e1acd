from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.compiler.allocate.protection import protected_layers
from mixdq.configs.errors import PlanError
from mixdq.configs.layers import Group, Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.mixdq_format.protected import read_protected
from mixdq.configs.mixdq_format.scores import table_of_score_files
from mixdq.configs.sensitivity import PAPER_METRICS, Metric, Operand, SensitivityTable


def _at_eight_bits(table: SensitivityTable, metric: Metric, scores: list[float]) -> SensitivityTable:
    """The table with the activations' scores at 8 bits replaced, in the layers' order."""
    activations = table.scores[Operand.ACTIVATION]
    layers = {
        name: (*old[:2], score)
        for (name, old), score in zip(activations[metric].items(), scores, strict=True)
    }
    return replace(table, scores={**table.scores, Operand.ACTIVATION: {**activations, metric: layers}})


def test_the_worst_activations_of_each_group_are_protected_a_share_rounded_up(
    layers: LayerTable, sensitivity: SensitivityTable
) -> None:
    table = _at_eight_bits(sensitivity, Metric.SSIM, [0.9, 0.2, 0.8, 0.1])
    table = _at_eight_bits(table, Metric.SQNR, [50, 7, 0, 0, 0, 0, 3, 40])
    content = [layer.name for layer in layers if layer.group is Group.CONTENT]
    quality = [layer.name for layer in layers if layer.group is Group.QUALITY]
    by_share = {
        0.0: (),
        0.01: (content[3], quality[2]),
        0.25: (content[3], quality[2]),
        0.26: (content[3], content[1], quality[2], quality[1]),
        1.0: (*(content[n] for n in (3, 1, 2, 0)), *(quality[n] for n in (2, 1, 3, 0))),
    }
    for share, expected in by_share.items():
        assert protected_layers(layers, table, share, PAPER_METRICS) == expected


def test_another_metric_protects_other_layers(layers: LayerTable, sensitivity: SensitivityTable) -> None:
    table = _at_eight_bits(sensitivity, Metric.SQNR, [9, 9, 1, 2, 3, 4, 9, 5])
    by_sqnr = dict.fromkeys(Group, Metric.SQNR)
    assert protected_layers(layers, table, 0.25, by_sqnr) == (layers.layers[2].name, LayerName("conv_out"))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(
    layers: LayerTable, sensitivity: SensitivityTable, share: float
) -> None:
    with pytest.raises(PlanError, match="out of bounds"):
        protected_layers(layers, sensitivity, share, PAPER_METRICS)


def test_without_scores_at_eight_bits_nothing_is_protected(
    layers: LayerTable, sensitivity: SensitivityTable
) -> None:
    table = replace(sensitivity, widths=dict.fromkeys(Operand, (2, 4, 6)))
    assert protected_layers(layers, table, 0, PAPER_METRICS) == ()
    with pytest.raises(PlanError, match="at 8 bits"):
        protected_layers(layers, table, 0.01, PAPER_METRICS)


_RELEASED = os.environ.get("MIXDQ_RELEASED_FILES")


@pytest.mark.skipif(_RELEASED is None, reason="MIXDQ_RELEASED_FILES names no folder")
def test_the_released_scores_give_the_released_names() -> None:
    root = Path(_RELEASED or "")
    lines = (root / "sensitivity/act_ratio_config.yaml").read_text().splitlines()
    names = [LayerName(line.split(":")[0].removeprefix("model.")) for line in lines]
    table = LayerTable(
        ModelIdentity("released", "a" * 64),
        tuple(LayerSpec(name, Kind.LINEAR, (1, 1), True, None, {}) for name in names),
    )
    scores = table_of_score_files(sorted(root.glob("sensitivity/act_s*.yaml")), table)
    (file,) = root.glob("act/*.pt")
    assert set(protected_layers(table, scores, 0.01, PAPER_METRICS)) == set(read_protected(file))
