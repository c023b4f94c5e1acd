"""A table that is there is measured again only if it is asked for."""

from dataclasses import replace
from typing import Any

import pytest

from mixdq.compiler.sensitivity.finished import finished_table
from mixdq.compiler.sensitivity.order import SensitivityOrder
from mixdq.configs.errors import EvaluationError
from mixdq.configs.layers import Group, LayerTable, ModelIdentity
from mixdq.configs.sensitivity import Metric, Operand, SensitivityTable
from mixdq.export.layers import list_layers


@pytest.fixture
def layers(order: SensitivityOrder) -> LayerTable:
    """The model's."""
    return list_layers(order.source, [64])


@pytest.fixture
def table(order: SensitivityOrder, layers: LayerTable) -> SensitivityTable:
    """What the order would write, with scores of 1; written."""
    every = {layer.name: (1.0,) for layer in layers}
    content = {layer.name: (1.0,) for layer in layers if layer.group is Group.CONTENT}
    scores = {
        Metric.SQNR: every,
        Metric.X0_SQNR: every,
        Metric.SSIM: content,
        Metric.WINDOWED_SSIM: content,
    }
    table = SensitivityTable(
        layers.model, layers.digest, order.measurement, order.widths, dict.fromkeys(order.widths, scores)
    )
    table.write(order.out)
    return table


def test_the_table_that_is_asked_for_is_found(
    order: SensitivityOrder, layers: LayerTable, table: SensitivityTable
) -> None:
    assert finished_table(order, layers) == table
    # A part of it is there as well.
    assert finished_table(replace(order, layers=("conv_in",)), layers) == table


def test_there_is_something_to_measure_without_a_file_with_restart_and_with_a_journal(
    order: SensitivityOrder, layers: LayerTable, table: SensitivityTable
) -> None:
    assert finished_table(replace(order, out=order.out.with_name("other.json")), layers) is None
    assert finished_table(replace(order, restart=True, seed=9), layers) is None
    order.journal.write_text("begun")
    assert finished_table(order, layers) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 4}, r"\(seed 3, now 4\)"),
        ({"prompts": ("a sleepy cat",)}, r"\(prompts digest [0-9a-f]{12}, now [0-9a-f]{12}\)"),
        ({"prompts": ("a", "b")}, r"\(prompts 1, now 2; prompts digest"),
        ({"resolution": 128}, r"\(resolution 64, now 128\)"),
        ({"bos_aware": False}, r"\(bos aware True, now False\)"),
        ({"widths": {Operand.WEIGHT: (4,)}}, r"\(widths weight 4, activation 8, now weight 4\)"),
        ({"every_metric": True}, r"\(every metric False, now True\)"),
    ],
)
@pytest.mark.usefixtures("table")
def test_another_measurement_is_refused_by_what_differs(
    order: SensitivityOrder, layers: LayerTable, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(EvaluationError, match=f"another measurement {words}.*--out, or .* --restart"):
        finished_table(replace(order, **changes), layers)


def test_another_model_s_table_and_another_file_are_refused(
    order: SensitivityOrder, layers: LayerTable, table: SensitivityTable
) -> None:
    replace(table, model=ModelIdentity("other", "0" * 64)).write(order.out)
    with pytest.raises(EvaluationError, match=r"measured on other .*; give another --out"):
        finished_table(order, layers)
    order.out.write_text("{}")
    with pytest.raises(EvaluationError, match=r"no table of this model .*; give another --out"):
        finished_table(order, layers)
