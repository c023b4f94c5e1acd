"""Progress of a long measurement: a moving line on a terminal, a line now and then in a file or a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from mixdq.compiler.progress import terminal_watch
from mixdq.compiler.worker import Report

_INTERVAL_S = 30.0


@contextmanager
def watching(name: str, console: Console) -> Iterator[Report]:
    """What to report with while the block runs."""
    with terminal_watch(console) as watch:
        yield watch.step(name) if console.is_terminal else sparse_lines(name, console.print, time.monotonic)


def sparse_lines(name: str, write: Callable[..., None], clock: Callable[[], float]) -> Report:
    """Reports a phase as it begins, and how much of it is done every 30 seconds."""
    last_phase, last_s = "", clock()

    def report(phase: str, done: int, total: int | None) -> None:
        nonlocal last_phase, last_s
        kind, now = phase.split(",")[0], clock()
        if kind == last_phase and now - last_s < _INTERVAL_S:
            return
        last_phase, last_s = kind, now
        write(f"{name}: {phase}" if total is None else f"{name}: {done} of {total} {phase}", soft_wrap=True)

    return report
