"""Progress on the terminal: one moving line a stage, and a line for each that is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from mixdq.compiler import worker
from mixdq.compiler.records import StageRecord

T = TypeVar("T")


class TerminalWatch:
    """Shows a run's stages; in a file or a pipe only the lines of finished ones."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def started(self, name: str) -> None:
        """Shows a line with a bar that does not know its end."""
        self._tasks[name] = self._progress.add_task(name, total=None, phase="")

    def progressed(self, name: str, progress: worker.Progress) -> None:
        """Shows the phase, and how much of it is done."""
        self._progress.update(
            self._tasks[name], completed=progress.done, total=progress.total, phase=progress.phase
        )

    def finished(self, record: StageRecord) -> None:
        """Replaces the moving line by a still one."""
        self._progress.remove_task(self._tasks.pop(record.name))
        memory = "" if record.peak_mib is None else f"  {record.peak_mib:6.0f} MiB"
        self._progress.console.print(f"{record.name:<36}{record.seconds:7.1f} s{memory}", highlight=False)

    def step(self, name: str) -> worker.Report:
        """Shows a line for work that is no stage, in place of the lines before; what to report with."""
        for task in self._tasks.values():
            self._progress.remove_task(task)
        self._tasks.clear()
        self.started(name)
        return lambda phase, done, total: self.progressed(name, worker.Progress(phase, done, total))


class SilentWatch:
    """Shows nothing."""

    def started(self, name: str) -> None:
        """Ignores it."""

    def progressed(self, name: str, progress: worker.Progress) -> None:
        """Ignores it."""

    def finished(self, record: StageRecord) -> None:
        """Ignores it."""


@contextmanager
def terminal_watch(console: Console) -> Iterator[TerminalWatch]:
    """A watch that draws on a console while the block runs."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[phase]}", style="dim"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield TerminalWatch(progress)


def child_on_terminal(name: str, function: Callable[..., T], *arguments: object) -> worker.Finished[T]:
    """Runs a function in a child process, its progress on the terminal; see `run_in_child`."""
    with terminal_watch(Console(stderr=True)) as watch:
        return worker.run_in_child(function, *arguments, report=watch.step(name))
