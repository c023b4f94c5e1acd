"""What configurations are called in the report, and their colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath

from mixdq.eval.report.chart_shapes import series_style
from mixdq.eval.report.found import Found

_FLOATING = series_style(7)
_COLOURS = 7


def short_names(paths: Iterable[str]) -> Mapping[str, str]:
    """For each path its last parts, as few as tell them apart."""
    given = list(dict.fromkeys(paths))
    names = {path: PurePath(path).name or path for path in given}
    for count in range(2, 6):
        shared = {name for name in names.values() if list(names.values()).count(name) > 1}
        if not shared:
            break
        for path, name in names.items():
            if name in shared:
                names[path] = "/".join(PurePath(path).parts[-count:])
    return names


class Colours:
    """A colour a plan, the same in all charts; grey is full precision."""

    def __init__(self, found: Found) -> None:
        quantized = [digest for digest, words in _plans(found) if digest is not None and _is_quantized(words)]
        self._places = {digest: place for place, digest in enumerate(dict.fromkeys(quantized))}

    def of(self, plan_digest: str | None) -> str:
        """The style of a plan's lines, bars and dots."""
        place = None if plan_digest is None else self._places.get(plan_digest)
        return _FLOATING if place is None else series_style(place % _COLOURS)


def _plans(found: Found) -> Iterator[tuple[str | None, str]]:
    for bundle in found.bundles:
        yield bundle.content.plan_digest, bundle.content.plan_summary
    for grid in found.grids:
        yield from ((plan.plan_digest, plan.summary) for plan in grid.content.plans)
    for table in found.latencies:
        yield from ((row.plan_digest, row.precision) for row in table.content.rows if row.kind == "stage")
    for quality in found.qualities:
        yield from ((row.plan_digest, row.plan) for row in quality.content.rows)
    for images in found.image_sets:
        yield images.content.painter.plan_digest, images.content.painter.plan
    for ablation in found.ablations:
        yield from ((row.plan_digest, row.plan) for row in ablation.content.rows)
    for memory in found.memories:
        yield from ((row.plan_digest, row.precision) for row in memory.content.rows)


def _is_quantized(words: str) -> bool:
    return words.startswith("W") or "quantized" in words
