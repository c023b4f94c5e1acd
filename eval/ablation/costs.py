"""What a plan costs: effective bits, bytes, bit operations."""

from __future__ import annotations

from mixdq.configs.layer_sizes import input_elements
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.eval.ablation.report import Costs


def costs_of(plan: PrecisionPlan, table: LayerTable, resolution: int) -> Costs:
    """The costs of a plan for one image at a resolution that the table has the layers' work at."""
    reads = {layer.name: input_elements(layer, resolution) for layer in table}
    stored = sum(layer.weights * plan[layer.name].weight_bits for layer in table)
    read = sum(size * plan[name].activation_bits for name, size in reads.items())
    operations = sum(
        layer.macs[resolution] * plan[layer.name].weight_bits * plan[layer.name].activation_bits
        for layer in table
    )
    precisions = plan.layers.values()
    protected = sum(each.quantizes_weight and not each.quantizes_activation for each in precisions)
    any_activation = any(each.quantizes_activation for each in precisions)
    return Costs(
        weight_bits=stored / sum(layer.weights for layer in table),
        activation_bits=read / sum(reads.values()),
        packed_bytes=-(-stored // 8),
        bops=operations,
        protected=protected if any_activation else 0,
    )
