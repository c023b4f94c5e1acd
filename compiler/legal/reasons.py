"""Why a layer does not run as it was asked, from the target's own entries."""

from __future__ import annotations

from mixdq.compiler.legal.choices import Rules
from mixdq.configs.capability import Entry
from mixdq.configs.form import Granularity
from mixdq.configs.layers import Kind, LayerSpec
from mixdq.configs.precision import Precision

_WIDTHS = {2, 4, 8, 16}
_NOUNS = {Kind.LINEAR: "linear layer", Kind.CONVOLUTION: "convolution"}


def reason_of(asked: Precision, layer: LayerSpec, rules: Rules) -> str:
    """One sentence: no such width, refused by the target, not written yet, or blocks that don't divide."""
    if asked.weight_bits not in _WIDTHS:
        return f"no back end stores weights of {asked.weight_bits} bits"
    if asked.activation_bits not in (8, 16):
        return f"no back end takes activations of {asked.activation_bits} bits"
    alike = [entry for entry in rules.capability.entries(layer.kind) if entry.form.precision == asked]
    if not alike:
        return f"{rules.capability} has no {asked} of a {_NOUNS[layer.kind]}"
    return _first(alike, layer, rules)


def _first(entries: list[Entry], layer: LayerSpec, rules: Rules) -> str:
    sm = rules.capability.sm
    legal = [entry for entry in entries if entry.takes(sm)]
    if not legal:
        layers, form = _NOUNS[layer.kind], entries[0].form
        return f"{rules.capability} takes no {form} of a {layers}: {entries[0].reason(sm)}"
    usable = [entry for entry in legal if entry.emitted or rules.unwritten]
    if not usable:
        planned = "" if rules.capability.table.built else f"; {rules.capability.table.product} are not built"
        return f"mixdq does not write {legal[0].form} of a {_NOUNS[layer.kind]} yet{planned}"
    if all(not entry.form.fits(layer) for entry in usable):
        if any(entry.form.granularity.block is None for entry in usable):
            return f"the {layer.weights} weights don't fill whole bytes where they are packed"
        blocks = " or ".join(str(entry.form.granularity.block) for entry in usable)
        return f"the {layer.weight_shape[1]} inputs don't divide into blocks of {blocks}"
    if all(entry.form.granularity is Granularity.TENSOR for entry in usable):
        return f"{rules.capability} takes {usable[0].form} with one scale for the whole weight alone"
    return f"another form takes no more bytes than {usable[0].form}, and less time"
