"""How long layers take: those of one group take about the same, because pictures are decoded or not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from mixdq.configs.layers import Group

_MINUTE_S, _HOUR_S = 60, 3600


def expected_s(measured: Sequence[tuple[Group, float]], groups: Iterable[Group]) -> float:
    """The seconds that layers of these groups will take.

    Args:
        measured: at least one layer's group and seconds. A group that is not among them is expected to take
            what all took on average.
        groups: one a layer.
    """
    everything = fmean(seconds for _, seconds in measured)
    of_group = {
        group: fmean([seconds for other, seconds in measured if other is group] or [everything])
        for group in Group
    }
    return sum(of_group[group] for group in groups)


def in_words(seconds: float) -> str:
    """A duration as people say it: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.1f} h"
