"""The training loop of every stage: any number of processes, resumable after any kill, bound in time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from rich.progress import Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from mixdq.configs.errors import StorageError
from mixdq.configs.files import writing
from mixdq.export.emoji_turbo.flat import FlatAdam
from mixdq.export.emoji_turbo.workers import Workers

Batch = dict[str, Tensor]

_WARM_UP_STEPS = 200
_REPORT_STEPS = 50


class Stage(Protocol):
    """One stage of the training: what is trained, on which batches, towards what."""

    name: str
    module: nn.Module
    rate: float
    """Highest learning rate."""
    decay: float
    """Of the weights' moving average."""

    def sizes(self) -> tuple[int, ...]:
        """The picture sizes, one a step in turn; with several processes each is at another one."""

    def batch(self, size: int, step: int, rank: int) -> Batch:
        """A step's batch, a function of the arguments alone: a resumed run continues as if never ended."""

    def loss(self, batch: Batch) -> Tensor:
        """The scalar to minimise."""

    def rate_of(self, name: str, parameter: nn.Parameter) -> Tensor | float:
        """The learning rate's factor for a parameter."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to train, and how."""

    steps: int
    save_every: int
    compile: bool
    deadline: float
    """`time.monotonic()` after which to stop with a checkpoint."""


def train_stage(stage: Stage, pace: Pace, workers: Workers, checkpoint: Path) -> bool:
    """Trains to `pace.steps`, from the checkpoint if there is one; leaves the averaged weights in the module.

    Returns:
        False if the deadline came first.

    Raises:
        StorageError: a checkpoint can't be read or written.
    """
    optimizer = FlatAdam(stage.module, stage.rate_of, stage.decay)
    if checkpoint.is_file():
        optimizer.load(read_checkpoint(checkpoint, workers.device))
    runner = _Runner(stage, optimizer, pace.compile)
    sizes = stage.sizes()
    with _Report(stage.name, pace.steps, workers) as report:
        while optimizer.steps < pace.steps:
            step = optimizer.steps
            size = sizes[(step + workers.rank) % len(sizes)]
            loss = runner.gradient(size, stage.batch(size, step, workers.rank))
            workers.average(optimizer.gradient)
            optimizer.step(stage.rate * cosine(step, pace.steps))
            report.step(optimizer.steps, size, loss)
            late = False
            if optimizer.steps % _REPORT_STEPS == 0:
                late = workers.agree(time.monotonic() > pace.deadline)
            if late or optimizer.steps % pace.save_every == 0 or optimizer.steps == pace.steps:
                _save(checkpoint, optimizer, workers)
            if late:
                break
    optimizer.use_average()
    return optimizer.steps >= pace.steps


def cosine(step: int, steps: int) -> float:
    """Learning rate's factor: a linear rise, then half a cosine down to 0 at `steps`."""
    rise = min(1.0, (step + 1) / min(_WARM_UP_STEPS, max(1, steps // 10)))
    return rise * 0.5 * (1 + math.cos(math.pi * step / steps))


def read_checkpoint(path: Path, device: torch.device) -> dict[str, Tensor | int]:
    """A stage's saved state.

    Raises:
        StorageError: the file is broken.
    """
    try:
        state: dict[str, Tensor | int] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises anything on a broken file
        raise StorageError(
            f"expected a training checkpoint in {path}, found {error}; delete it to start anew"
        ) from error
    return state


def _save(path: Path, optimizer: FlatAdam, workers: Workers) -> None:
    if workers.leads:
        with writing(path) as temporary:
            torch.save(optimizer.state(), temporary)


class _Runner:
    """Computes gradients; on a GPU as one CUDA graph a size, for a step of this model is mostly launches."""

    def __init__(self, stage: Stage, optimizer: FlatAdam, compiled: bool) -> None:
        self._optimizer = optimizer
        self._loss: Callable[[Batch], Tensor] = stage.loss
        if compiled:
            self._loss = torch.compile(stage.loss, dynamic=False)
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Batch, Tensor]] = {}

    def gradient(self, size: int, batch: Batch) -> Tensor:
        """Leaves the gradient of `batch`'s loss in the optimizer, returns the loss."""
        if self._optimizer.weights.device.type != "cuda":
            return self._compute(batch)
        if size not in self._graphs:
            self._graphs[size] = self._capture(batch)
        graph, inputs, loss = self._graphs[size]
        for name, value in batch.items():
            inputs[name].copy_(value)
        graph.replay()
        return loss

    def _compute(self, batch: Batch) -> Tensor:
        self._optimizer.gradient.zero_()
        loss = self._loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _capture(self, batch: Batch) -> tuple[torch.cuda.CUDAGraph, Batch, Tensor]:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._compute(batch)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # NCCL's watchdog thread makes CUDA calls of its own, which must not end the capture.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            loss = self._compute(batch)
        return graph, batch, loss


class _Report:
    """A progress bar with the mean loss of each size, in the leading process."""

    def __init__(self, name: str, steps: int, workers: Workers) -> None:
        columns = (
            *Progress.get_default_columns()[:-1],
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bar = Progress(*columns, disable=not workers.leads)
        self._task = self._bar.add_task(name, total=steps, note="")
        self._name, self._steps, self._leads = name, steps, workers.leads
        self._losses: dict[int, Tensor] = {}
        self._began: tuple[float, int] | None = None

    def __enter__(self) -> _Report:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, step: int, size: int, loss: Tensor) -> None:
        """Notes a step; reads the losses only now and then, since reading waits for the GPU."""
        self._losses[size] = loss
        if step % _REPORT_STEPS and step != self._steps:
            return
        losses = " ".join(f"{size}:{float(self._losses[size]):.4f}" for size in sorted(self._losses))
        now = time.monotonic()
        self._began = self._began or (now, step)
        pace = (step - self._began[1]) / max(now - self._began[0], 1e-9)
        self._bar.update(self._task, completed=step, note=f"{pace:.1f} steps/s, loss {losses}")
        if self._leads and not self._bar.console.is_terminal and step % (4 * _REPORT_STEPS) == 0:
            self._bar.console.print(f"{self._name} {step}/{self._steps}: {pace:.1f} steps/s, loss {losses}")
