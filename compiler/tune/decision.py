"""Which layers go back to floating point, given what was measured; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from enum import StrEnum

from pydantic.dataclasses import dataclass

from mixdq.compiler.tune.limits import Limits
from mixdq.compiler.tune.paired import summed
from mixdq.compiler.tune.trial import Trial
from mixdq.configs.documents import STRICT
from mixdq.configs.layers import LayerName

_QUALITY_SHARE = 4  # a quarter of the layers at a time goes back for the sake of quality


class Why(StrEnum):
    """For what a layer is returned."""

    SLOWER = "slower"
    NO_FASTER = "no faster"
    CLIPPED = "clipped"
    QUALITY = "quality"


@dataclass(frozen=True, slots=True, config=STRICT)
class Return:
    """A layer that goes back to floating point.

    Attributes:
        layer: its name.
        why: the rule.
        reason: with the figures.
        saved_us: microseconds of a run that the layer took more than in full precision, by the medians, all
            resolutions together; negative if it took less. None if it was not measured.
        added_bytes: by which the weights grow.
    """

    layer: LayerName
    why: Why
    reason: str
    saved_us: float | None
    added_bytes: int


@dataclass(frozen=True, slots=True, config=STRICT)
class Decision:
    """What follows from a measurement.

    Attributes:
        returns: layers to return before the next; none to stop.
        forbidden: layers that would be returned if the memory budget had room for them.
        stop: why it ends here; empty if it goes on.
    """

    returns: tuple[Return, ...]
    forbidden: tuple[LayerName, ...]
    stop: str


def decide(trial: Trial, added: Mapping[LayerName, int], limits: Limits, before: Trial | None) -> Decision:
    """The layers to return, of one rule at a time, the first that finds any.

    1. Layers that clip too much of their input.
    2. Layers that are slower than in full precision, beyond the spread: unless the round before brought no
       gain, and the engine as a whole is not slower.
    3. If the engine as a whole is slower: layers that are no faster by the medians. What quantization costs
       may be in kernels of no layer.
    4. If the pictures are below the floor: a quarter of the quantized layers, those that quantization makes
       least faster.

    Where memory has no room for all, those are returned that gain most for a byte.

    Args:
        trial: what was measured.
        added: by how many bytes each quantized layer grows in floating point.
        limits: the budgets.
        before: the trial before this one; None for the first.
    """
    if not all(outputs.finite for outputs in trial.outputs.values()):
        return Decision((), (), "it computes NaN or infinity")
    differences = {layer: summed(parts) for layer in added if (parts := list(trial.of_layer(layer)))}
    for found in (
        _clipped(trial, limits, added),
        () if _without_gain(trial, before) else _slower(differences),
        _no_faster(differences) if trial.slower_at else (),
        () if limits.reaches_floor(trial) else _for_quality(differences, added),
    ):
        wanted = [_return(layer, why, reason, differences, added) for layer, why, reason in found]
        if not wanted:
            continue
        fitting = _within(wanted, limits.room(trial))
        forbidden = tuple(one.layer for one in wanted if one not in fitting)
        if fitting:
            return Decision(fitting, forbidden, "")
        return Decision((), forbidden, f"the memory budget forbids to return {len(forbidden)} layers")
    if _without_gain(trial, before) and any(low > 0 for _, low in differences.values()):
        return Decision((), (), "no gain is left: the last layers that were returned made nothing faster")
    return Decision((), (), "no layer is slower than in full precision, beyond the spread")


_Found = Iterable[tuple[LayerName, Why, str]]


def _without_gain(trial: Trial, before: Trial | None) -> bool:
    return before is not None and not trial.slower_at and trial.ratio >= before.ratio


def _clipped(trial: Trial, limits: Limits, added: Mapping[LayerName, int]) -> _Found:
    return [
        (layer, Why.CLIPPED, f"{share:.2%} of its input is beyond its range")
        for layer, share in trial.clipped(limits.clipped).items()
        if layer in added
    ]


def _slower(differences: Mapping[LayerName, tuple[float, float]]) -> _Found:
    return [
        (layer, Why.SLOWER, f"{median:.1f} us slower than in full precision, at least {low:.1f}")
        for layer, (median, low) in differences.items()
        if low > 0
    ]


def _no_faster(differences: Mapping[LayerName, tuple[float, float]]) -> _Found:
    return [
        (layer, Why.NO_FASTER, f"{median:+.1f} us, within the spread, and the engine as a whole is slower")
        for layer, (median, _) in differences.items()
        if median >= 0
    ]


def _for_quality(
    differences: Mapping[LayerName, tuple[float, float]], added: Mapping[LayerName, int]
) -> _Found:
    order = sorted(added, key=lambda layer: -differences.get(layer, (0.0, 0.0))[0])
    return [
        (layer, Why.QUALITY, "pictures below the floor, and quantized it gains little")
        for layer in order[: math.ceil(len(order) / _QUALITY_SHARE)]
    ]


def _return(
    layer: LayerName,
    why: Why,
    reason: str,
    differences: Mapping[LayerName, tuple[float, float]],
    added: Mapping[LayerName, int],
) -> Return:
    saved = differences[layer][0] if layer in differences else None
    return Return(layer, why, reason, saved, added[layer])


def _within(wanted: list[Return], room: int | None) -> tuple[Return, ...]:
    """Those that fit, the most microseconds for a byte first; in the order that they came in."""
    if room is None:
        return tuple(wanted)
    chosen = set()
    for one in sorted(wanted, key=lambda one: -(one.saved_us or 0.0) / max(one.added_bytes, 1)):
        if one.added_bytes <= room:
            chosen.add(one.layer)
            room -= one.added_bytes
    return tuple(one for one in wanted if one.layer in chosen)
