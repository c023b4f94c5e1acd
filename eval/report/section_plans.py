"""What each plan gives the layers: bits over the UNet's structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mixdq.configs.layers import LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FLOAT_BITS
from mixdq.eval.report.chart_shapes import Box, Chart
from mixdq.eval.report.found import Document
from mixdq.eval.report.naming import short_names
from mixdq.eval.report.results import Results
from mixdq.eval.report.view import Block, BlockOfLayers, Cell, NetworkMap, Section, Table
from mixdq.eval.report.words import brief, cells, counted, fixed, mib

_MOST = 6
"""Plans that are drawn; all are in the table."""
_ACROSS, _WIDE, _CELL, _STEP = 44, 380.0, 6.0, 17.0
_PLACES = {"conv_in": "in", "conv_out": "out", "time_embedding": "embeddings", "add_embedding": "embeddings"}

_Plan = tuple[str, PrecisionPlan, LayerTable]


def plans_section(results: Results) -> Section:
    """Every distinct plan whose layers are known: totals, and maps of those that quantize."""
    plans = list(_plans(results))
    blocks: list[Block] = [_totals(plans)] if plans else []
    mixed = sorted((plan for plan in plans if plan[1].quantizes), key=_kinds_of_bits, reverse=True)
    blocks += [_map(*plan, folded=place > 0) for place, plan in enumerate(mixed[:_MOST])]
    return Section(
        "plans",
        "Bits per layer",
        tuple(blocks),
        "Every column is one layer, in the order of the network: above the bits of its weight, below those "
        "of its activation. Down the left side and up the right, blocks of one resolution face each other.",
    )


def _kinds_of_bits(plan: _Plan) -> int:
    precisions = plan[1].layers.values()
    weights = {precision.weight_bits for precision in precisions}
    return len(weights) + len({precision.activation_bits for precision in precisions})


def _plans(results: Results) -> Iterator[_Plan]:
    """Each plan once, under the shortest name, with its layers."""
    tables = {document.content.digest: document.content for document in results.found.layers}
    named: dict[str, Document[PrecisionPlan]] = {}
    for document in sorted(results.found.plans, key=lambda one: (len(one.name), one.name)):
        named.setdefault(document.content.digest, document)
    kept = [one for one in results.found.plans if named[one.content.digest] is one]
    names = short_names(_path(document) for document in kept)
    for document in kept:
        table = tables.get(document.content.layers_digest)
        if table is not None:
            document.content.check(table)
            yield names[_path(document)], document.content, table


def _path(document: Document[PrecisionPlan]) -> str:
    """Of the plan, without what all plans' paths end in."""
    path = document.path
    return str(path.resolve().parent if path.name == "plan.yaml" else path.resolve().with_suffix(""))


def _totals(plans: Sequence[_Plan]) -> Table:
    return Table(
        key="plans",
        caption="Plans, each once; means are weighted by the number of weights",
        heads=(
            *("plan", "weight bits", "activation bits", "packed MiB", "smaller than FP16"),
            *("activations in FP16", "BOS-aware", "digest"),
        ),
        rows=tuple(_total(name, plan, table) for name, plan, table in plans),
        words=frozenset({"BOS-aware", "digest"}),
    )


def _total(name: str, plan: PrecisionPlan, table: LayerTable) -> tuple[Cell, ...]:
    weight_bits, activation_bits = plan.mean_bits(table)
    size = sum(layer.weights * plan[layer.name].weight_bits for layer in table) / 8
    floating = sum(plan[layer.name].activation_bits == FLOAT_BITS for layer in table)
    return cells(
        name,
        fixed(weight_bits, 3),
        fixed(activation_bits, 3),
        mib(size),
        f"{fixed(FLOAT_BITS / weight_bits, 2)} ×",
        f"{floating} of {len(table)}",
        "yes" if plan.bos_aware else "no",
        Cell(brief(plan.digest), code=True),
    )


def _map(name: str, plan: PrecisionPlan, table: LayerTable, *, folded: bool) -> NetworkMap:
    parts: dict[str, list[LayerSpec]] = {}
    for layer in table:
        parts.setdefault(_part(layer), []).append(layer)
    downs = sorted(part for part in parts if part.startswith("down"))
    ups = sorted(part for part in parts if part.startswith("up"))
    places = _places(downs, ups)
    weight_bits, activation_bits = plan.mean_bits(table)
    used = {bits for layer in table for bits in (_bits(plan, layer))}
    return NetworkMap(
        caption=(
            f"{name}: {table.model.name}'s {counted(len(table), 'layer')}, {fixed(weight_bits, 2)} bits a "
            f"weight and {fixed(activation_bits, 2)} an activation on average"
        ),
        blocks=tuple(
            BlockOfLayers(
                place,
                _title(part),
                _summary(plan, parts[part]),
                _chart(plan, parts[part], _title(part)),
            )
            for part, place in places.items()
            if part in parts
        ),
        legend=tuple((f"b{bits}", _words(bits)) for bits in sorted(used)),
        folded=folded,
    )


def _part(layer: LayerSpec) -> str:
    first, second, *_ = [*layer.name.split("."), ""]
    if first in _PLACES:
        return _PLACES[first]
    return "mid" if first == "mid_block" else f"{first.partition('_')[0]} {second}"


def _places(downs: Sequence[str], ups: Sequence[str]) -> Mapping[str, tuple[int, int]]:
    """Column and row of each part: down on the left, up on the right, the last first."""
    last = max(len(downs), len(ups)) + 2
    places: dict[str, tuple[int, int]] = {"in": (1, 2)}
    places |= {part: (1, row) for row, part in enumerate(downs, start=3)}
    places["mid"] = (0, last + 1)
    places |= {part: (2, last - row) for row, part in enumerate(ups)}
    return {"embeddings": (0, 1), **places, "out": (2, 2)}


def _title(part: str) -> str:
    names = {
        "in": "conv_in",
        "out": "conv_out",
        "mid": "mid block",
        "embeddings": "time and text embeddings",
    }
    first, _, second = part.partition(" ")
    return names.get(part, f"{first} block {second}")


def _bits(plan: PrecisionPlan, layer: LayerSpec) -> tuple[int, int]:
    precision = plan[layer.name]
    return precision.weight_bits, precision.activation_bits


def _words(bits: int) -> str:
    return "FP16" if bits == FLOAT_BITS else f"{bits} bits"


def _summary(plan: PrecisionPlan, layers: Sequence[LayerSpec]) -> str:
    weights = sum(layer.weights for layer in layers)
    mean = sum(layer.weights * plan[layer.name].weight_bits for layer in layers) / weights
    return f"{counted(len(layers), 'layer')}, {weights:,} weights, {fixed(mean, 2)} bits each"


def _chart(plan: PrecisionPlan, layers: Sequence[LayerSpec], title: str) -> Chart:
    step = _WIDE / _ACROSS
    shapes = []
    for place, layer in enumerate(layers):
        line, column = divmod(place, _ACROSS)
        weight, activation = _bits(plan, layer)
        hint = f"{layer.name}: {plan[layer.name]}"
        left, top = column * step, line * _STEP
        shapes.append(Box(left, top, step - 1.2, _CELL, f"b{weight}", hint))
        shapes.append(Box(left, top + _CELL + 0.6, step - 1.2, _CELL, f"b{activation}"))
    lines = -(-len(layers) // _ACROSS)
    return Chart("", _WIDE, lines * _STEP - 3, tuple(shapes), f"{title}: {_summary(plan, layers)}")
