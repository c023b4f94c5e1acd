"""What a worker process is told first: which engines to hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Which engines to hold, and where.

    Attributes:
        folder: of the bundle.
        target: which of its engines: `cpu`, `rtx:sm89`.
        device: where ONNX Runtime computes, `cpu` or `cuda`.
        threads: of one engine on the CPU; None for one a physical core.
        gpu: which of the GPUs that this process may use, counted from 0; None for the first.
        steps: denoising steps of the pictures that are made to warm up.
    """

    folder: Path
    target: str
    device: str
    threads: int | None
    gpu: int | None
    steps: int
