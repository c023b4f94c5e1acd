"""A UNet's trial for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from mixdq.eval.speed.unet_trial import CaseFigures
from mixdq.eval.speed.unet_trial_choices import WAYS, Case

# What is the best FP16 that there is without this project's back end.
_BASELINES = ("eager", "graph", "compiled")


def trial_view(found: Sequence[CaseFigures]) -> Table:
    """A line a case, beside the fastest FP16 baseline of its size."""
    ways = dict.fromkeys(one.case.way for one in found)
    view = Table(
        title="milliseconds of the UNet alone",
        caption="\n".join(f"{way}: {WAYS[way]}" for way in ways),
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    view.add_column("case", no_wrap=True)
    headings = (
        "ms",
        "quartiles",
        "in a row",
        "images/s",
        "x faster",
        "MiB",
        "of FP16's",
        "driver MiB",
        "MHz",
        "dB",
    )
    for heading in headings:
        view.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        if one.missing:
            view.add_row(str(one.case), one.missing)
            continue
        figures = one.figures
        best = _best(found, one.case)
        view.add_row(
            str(one.case),
            _number(figures["ms"]),
            f"{_number(figures['ms_q1'])} to {_number(figures['ms_q3'])}",
            _number(figures["ms_in_a_row"]),
            _number(_ratio(1e3 * one.case.batch, figures["ms_in_a_row"])),
            _number(_ratio(best.get("ms"), figures["ms"])),
            _number(figures.get("allocated_mib"), 0),
            _number(_ratio(figures.get("allocated_mib"), best.get("allocated_mib")), 3),
            _number(figures.get("driver_mib"), 0),
            _number(figures.get("sm_mhz"), 0),
            _number(figures.get("db"), 1),
        )
    return view


def _best(found: Sequence[CaseFigures], case: Case) -> dict[str, object]:
    """The fastest baseline's figures of a case's size; nothing if none was measured."""
    alike = [
        one.figures
        for one in found
        if one.case.way in _BASELINES
        and (one.case.resolution, one.case.batch) == (case.resolution, case.batch)
        and one.figures
    ]
    return min(alike, key=lambda figures: _float(figures["ms"]) or 0.0, default={})


def _ratio(above: object, below: object) -> float | None:
    upper, lower = _float(above), _float(below)
    return None if upper is None or not lower else upper / lower


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _number(value: object, digits: int = 2) -> str:
    number = _float(value)
    return "" if number is None else f"{number:.{digits}f}"
