"""Protection: of each group the most sensitive activations stay FP16."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from mixdq.configs.errors import PlanError
from mixdq.configs.layers import Group, LayerName, LayerTable
from mixdq.configs.sensitivity import Metric, Operand, SensitivityTable

PAPER_SHARE = 0.01
_JUDGED_AT = 8


def protected_layers(
    table: LayerTable, sensitivity: SensitivityTable, share: float, metrics: Mapping[Group, Metric]
) -> tuple[LayerName, ...]:
    """The layers whose activation does worst at 8 bits: a share of each group, rounded up.

    Of SDXL-Turbo's 420 and 374 layers one percent is 5 and 4; of the released scores these are the nine
    layers that MixDQ protects. Layers that score alike count in the table's order.

    Args:
        table: the model's layers.
        sensitivity: checked against them.
        share: 0 to 1.
        metrics: what decides in each group.

    Raises:
        PlanError: the share is out of bounds, or the table lacks the metric or its scores at 8 bits.
    """
    if not 0 <= share <= 1:
        raise PlanError(f"a share of {share:g} protected layers is out of bounds; use 0 to 1, 0.01 for 1 %")
    if share and _JUDGED_AT not in sensitivity.widths.get(Operand.ACTIVATION, ()):
        raise PlanError(
            "which activations to protect is judged at 8 bits, and the sensitivity table has no activation "
            "scores there; measure them, or protect none"
        )
    found: list[LayerName] = []
    for group in Group:
        if share:
            sensitivity.require(Operand.ACTIVATION, metrics[group], group, table)
        layers = [layer.name for layer in table if layer.group is group]
        scores = {
            name: sensitivity.score(Operand.ACTIVATION, metrics[group], name, _JUDGED_AT)
            for name in (layers if share else ())
        }
        count = math.ceil(Fraction(str(share)) * len(layers))
        found += sorted(scores, key=scores.__getitem__)[:count]
    return tuple(found)
