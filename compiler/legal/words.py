"""A legalized plan in words: what became of what, how often, why, and what the whole comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from mixdq.compiler.legal.choices import Rules
from mixdq.compiler.legal.legalize import Legalized
from mixdq.compiler.legal.totals import asked_totals, real_totals
from mixdq.configs.capability import SourceKind
from mixdq.configs.form import ActivationFormat
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan

_MIB = 2**20


def in_words(
    asked: PrecisionPlan, made: Legalized, table: LayerTable, rules: Rules, resolution: int
) -> Iterator[RenderableType]:
    """The changes, most frequent first; then bits, bytes and bit operations before and after.

    Args:
        asked: the plan that was made legal.
        made: what became of it.
        table: the model's layers.
        rules: the target, and what could be chosen there.
        resolution: pixels at which activations and operations are counted.
    """
    if made.changes:
        yield _changes(made, table)
    count = len(made.changes)
    yield (
        f"{count} of {len(table)} layers change for {rules.capability}"
        if count
        else (f"{rules.capability} runs all {len(table)} layers as asked")
    )
    yield from _forms(made, table, rules)
    yield _totals(asked, made, table, rules, resolution)
    yield (
        "weights of the quantizable layers: as asked packed to their bits, as they run with their scales; "
        "biases and all else left out. BOPs: as asked weight bits by activation bits, as they run by the "
        "width at which both are multiplied (16 where the weight alone is quantized)"
    )


def _changes(made: Legalized, table: LayerTable) -> Table:
    view = Table("asked", "runs as", "kind", "layers", "because")
    view.columns[3].justify = "right"
    groups = Counter(
        (str(change.asked), str(change.form), str(table[change.layer].kind), change.reason)
        for change in made.changes
    )
    for (asked, form, kind, reason), count in groups.most_common():
        view.add_row(asked, form, kind, str(count), reason)
    return view


def _forms(made: Legalized, table: LayerTable, rules: Rules) -> Iterator[str]:
    """The forms, what nobody tried of them, and how activations differ from what MixDQ means by them."""
    assert made.plan.realization is not None
    forms = made.plan.realization.forms
    counts = Counter(map(str, forms.values()))
    yield "layers by form: " + ", ".join(f"{form} {count}" for form, count in counts.most_common())
    used = {(table[name].kind, form) for name, form in forms.items()}
    read = dict.fromkeys(
        entry.source.what
        for entry in rules.capability.table.entries
        if entry.source.kind is SourceKind.DOCUMENTED and any((k, entry.form) in used for k in entry.kinds)
    )
    yield from (f"from documents, no builder was asked: {what}" for what in read)
    if any(form.activation is ActivationFormat.INT8 for form in forms.values()):
        yield (
            f"activations on {rules.capability} are symmetric, those of the paper asymmetric: the same bits, "
            "with one of them unused where a layer's input has one sign"
        )


def _totals(asked: PrecisionPlan, made: Legalized, table: LayerTable, rules: Rules, resolution: int) -> Table:
    float_bytes = rules.capability.table.float_bytes
    before = asked_totals(asked, table, resolution, float_bytes)
    after = real_totals(made.plan, table, resolution, float_bytes)
    view = Table("", "asked", "runs")
    for column in view.columns[1:]:
        column.justify = "right"
    view.add_row("weight bits (mean by weights)", f"{before.weight_bits:.4f}", f"{after.weight_bits:.4f}")
    view.add_row(
        f"activation bits (mean by values read at {resolution} pixels)",
        f"{before.activation_bits:.4f}",
        f"{after.activation_bits:.4f}",
    )
    view.add_row("bytes", f"{before.bytes:,}", f"{after.bytes:,}")
    view.add_row("MiB", f"{before.bytes / _MIB:,.2f}", f"{after.bytes / _MIB:,.2f}")
    view.add_row("BOPs of a run", f"{before.bops:.4g}", f"{after.bops:.4g}")
    return view
