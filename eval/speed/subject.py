"""What can be measured: something that draws pictures, and one way of drawing them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mixdq.configs.files import sha256_of_text


@dataclass(frozen=True, slots=True)
class Label:
    """How tables call a subject; see the fields of `LatencyRow` and `LatencyRun`."""

    source: str
    model: str
    model_digest: str
    precision: str
    plan_digest: str | None
    target: str
    device: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn: one prompt, the noise of the first picture of a batch, denoising steps."""

    prompt: str
    seed: int
    steps: int


class Drawer(Protocol):
    """A pipeline, loaded for pictures of one size; a process of its own holds it."""

    def draw(self) -> Mapping[str, float]:
        """Draws a batch of pictures as PNG bytes.

        Returns:
            Microseconds by stage, the whole included.
        """
        ...

    def clock(self, stage: str) -> str:
        """What a stage is measured by; see `LatencyRow.clock`."""
        ...

    def allocator_peak_mib(self) -> tuple[float, float] | None:
        """Most that torch's allocator gave out and held on the GPU since loading; None without one."""
        ...

    def close(self) -> None:
        """Gives the memory back."""
        ...


class Subject(Protocol):
    """What is measured on one device; small, immutable, and can be pickled to a child process."""

    @property
    def label(self) -> Label:
        """How tables call it."""
        ...

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Pixels of all that it was made for."""
        ...

    @property
    def batches(self) -> tuple[int, ...]:
        """Pictures at once that are measured if nobody asks for others."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 over the files and options that its figures depend on."""
        ...

    def check(self, resolution: int, batch: int) -> None:
        """Refuses a size that it can't draw.

        Raises:
            EvaluationError: says which it can.
            RequestError: the model's sides can't be that long.
        """
        ...

    def engines(self, resolution: int) -> Mapping[str, Mapping[str, str]]:
        """Of each stage that has engines, the SHA-256 of all their files; see `LatencyRun.engines`."""
        ...

    def weights_mib(self, resolution: int) -> float | None:
        """Size on disk of the files that are loaded for a resolution; None if the weights are made up."""
        ...

    def prepare(self) -> None:
        """Imports the libraries that drawing needs, and loads nothing."""
        ...

    def open(self, case: Case) -> Drawer:
        """Loads it.

        Raises:
            MixdqError: it can't be loaded, or not here.
        """
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """One process's work: a subject, one size of pictures, and what they show."""

    subject: Subject
    resolution: int
    batch: int
    drawing: Drawing

    @property
    def title(self) -> str:
        """For people: `mixdq, cpu on cpu, 128 pixels`."""
        label = self.subject.label
        together = f", batch {self.batch}" if self.batch > 1 else ""
        return f"{label.source}, {label.target} on {label.device}, {self.resolution} pixels{together}"

    def digest(self, *settings: object) -> str:
        """SHA-256 over all that the figures of this case depend on but the machine and the versions."""
        drawing, source = self.drawing, self.subject.label.source
        what = (source, drawing.prompt, drawing.seed, drawing.steps, self.resolution, self.batch)
        return sha256_of_text(json.dumps([self.subject.digest, *what, *settings]))
