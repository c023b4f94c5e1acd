"""The files of a UNet's trial: figures, kernels, what time is spent on, and what it ran on."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.eval.speed.kernel_kinds import kinds_of, time_by_kind
from mixdq.eval.speed.unet_trial import CaseFigures

FIGURES = (
    "compile_s",
    "ms",
    "ms_q1",
    "ms_q3",
    "ms_in_a_row",
    "runs",
    "allocated_mib",
    "reserved_mib",
    "driver_mib",
    "sm_mhz",
    "db",
)
"""Columns of `unet.csv`: seconds to compile; milliseconds; MiB by torch's allocator and by the driver, with
the context; the clock rate of the GPU's multiprocessors while it was timed; decibels of agreement with
diffusers' UNet in FP16."""

_CASE = ("way", "resolution", "batch")
_PACKAGES = ("torch", "triton", "diffusers", "torchao")


@dataclass(frozen=True, slots=True)
class TrialFiles:
    """A folder that is complete after each case, so that a trial that is ended keeps what it found.

    Attributes:
        folder: where they are.
        command: what made them.
        found: the cases until now.
    """

    folder: Path
    command: str
    found: list[CaseFigures] = field(default_factory=list)

    def add(self, figures: CaseFigures) -> None:
        """Writes all files anew, with one case more."""
        self.found.append(figures)
        rows = ([*_name(one), one.missing, *(one.figures.get(key) for key in FIGURES)] for one in self.found)
        _write(self.folder / "unet.csv", (*_CASE, "missing", *FIGURES), rows)
        kinds = (
            [*_name(one), time.kind, round(time.us, 2), time.launches]
            for one in self.found
            for time in time_by_kind(one.launches)
        )
        _write(self.folder / "kinds.csv", (*_CASE, "kind", "us", "launches"), kinds)
        _write(self.folder / "kernels.csv", (*_CASE, "kind", "kernel", "us", "launches"), self._kernels())
        facts = {
            "machine": describe_machine(),
            "versions": installed_versions(*_PACKAGES),
            "command": self.command,
        }
        (self.folder / "machine.json").write_text(json.dumps(facts, indent=2) + "\n")

    def _kernels(self) -> Iterable[Sequence[object]]:
        """A line a kernel, what takes longest first."""
        for one in self.found:
            times: dict[tuple[str, str], list[float]] = {}
            for launch, kind in zip(one.launches, kinds_of(one.launches), strict=True):
                times.setdefault((kind, launch.kernel), []).append(launch.us)
            for (its, kernel), spans in sorted(times.items(), key=lambda item: -sum(item[1])):
                yield *_name(one), its, kernel, round(sum(spans), 2), len(spans)


def _name(one: CaseFigures) -> tuple[object, ...]:
    return one.case.way, one.case.resolution, one.case.batch


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
