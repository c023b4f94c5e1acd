"""Plans and ranges as tables for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.quantizing import Activations, Clipping
from mixdq.configs.ranges import RangeTable

_WIDEST = 12


def show_plan(plan: PrecisionPlan, table: LayerTable | None) -> Iterator[RenderableType]:
    """Precisions by role, effective bits, and the layers that deviate from the most frequent precision."""
    marks = [
        "BOS-aware" if plan.bos_aware else "not BOS-aware",
        "split shortcuts" if plan.split_shortcuts else "whole shortcuts",
    ]
    if plan.weight_clipping is not Clipping.MINMAX:
        marks.append(f"weight clipping {plan.weight_clipping}")
    if plan.activations is not Activations.PLAIN:
        marks.append(f"activations {plan.activations}")
    yield f"plan {plan.digest[:12]}: {len(plan.layers)} layers, {', '.join(marks)}"
    if table is not None:
        plan.check(table)
        weight, activation = plan.mean_bits(table)
        yield f"effective bits: weights {weight:.3f}, activations {activation:.3f}"
        yield _by_role(plan, table)
    counts = Counter(str(precision) for precision in plan.layers.values())
    usual = counts.most_common(1)[0][0]
    for name, precision in plan.layers.items():
        if str(precision) != usual and counts[str(precision)] <= _WIDEST:
            yield f"  {precision} {name}"


def _by_role(plan: PrecisionPlan, table: LayerTable) -> Table:
    """Layers and weights of each kind, role and precision."""
    layers: Counter[tuple[str, str, str]] = Counter()
    weights: Counter[tuple[str, str, str]] = Counter()
    stored_bits: Counter[tuple[str, str, str]] = Counter()
    for layer in table:
        key = (layer.kind.value, layer.role.value, str(plan[layer.name]))
        layers[key] += 1
        weights[key] += layer.weights
        stored_bits[key] += layer.weights * plan[layer.name].weight_bits
    view = Table("kind", "role", "precision", "layers", "weights", "MB at these bits", title="precisions")
    for key in sorted(layers):
        view.add_row(*key, str(layers[key]), f"{weights[key]:,}", f"{stored_bits[key] / 8e6:.2f}")
    for column in view.columns[3:]:
        column.justify = "right"
    return view


def show_ranges(ranges: RangeTable, table: LayerTable | None) -> Iterator[RenderableType]:
    """What was run, the BOS row against the other tokens, and the widest inputs."""
    if table is not None:
        ranges.check(table)
    run = ranges.calibration
    yield (
        f"ranges {ranges.digest[:12]} of {ranges.model.name} ({ranges.model.digest[:12]}): "
        f"{len(ranges.layers)} layers, {run.prompts} prompts at {', '.join(map(str, run.resolutions))}, "
        f"seed {run.seed}"
    )
    text = [
        bound
        for name in ranges.layers
        if name.endswith((".attn2.to_k", ".attn2.to_v"))
        for bound in _bounds(ranges, name)
    ]
    bos, others = max(map(abs, ranges.bos)), max(map(abs, text), default=0.0)
    if others:
        yield f"text embedding: token 0 reaches {bos:.1f}, all others {others:.1f} (ratio {bos / others:.1f})"
    widest = sorted(ranges.layers, key=lambda name: -max(map(abs, _bounds(ranges, name)), default=0.0))[
        :_WIDEST
    ]
    view = Table("layer", "minimum", "maximum", title=f"the {len(widest)} widest inputs")
    for name in widest:
        for part in ranges[name]:
            view.add_row(name, f"{part.minimum:.3f}", f"{part.maximum:.3f}")
    for column in view.columns[1:]:
        column.justify = "right"
    yield view


def _bounds(ranges: RangeTable, name: LayerName) -> list[float]:
    return [bound for part in ranges[name] for bound in (part.minimum, part.maximum)]
