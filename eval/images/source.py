"""What can draw: a function from prompts and seeds to pictures, and all that its pictures depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from PIL.Image import Image

from mixdq.configs.errors import MachineError
from mixdq.eval.image_set import Arrangement, Painter

Draw: TypeAlias = Callable[[Sequence[str], Sequence[int]], list[Image]]
"""From prompts and as many seeds to as many RGB pictures; called from `Arrangement.jobs` threads."""

# torch on the CPU and on a GPU, ONNX Runtime on the CPU and on a GPU.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "bad allocation",
    "failed to allocate memory",
)


@dataclass(frozen=True, slots=True)
class PictureSource:
    """Something that draws, not opened yet.

    Attributes:
        painter: what the pictures depend on beside prompts and seeds.
        libraries: the distributions that compute, whose versions the manifest notes.
        arrangement: how a new set is computed, with what was asked for.
        asked_batch: pictures of one call of `Draw`, where they were asked for.
        asked_jobs: calls side by side, each in a thread of its own, where they were asked for.
        open: loads engines or weights, to compute as it is told; leaving the context frees them.
    """

    painter: Painter
    libraries: tuple[str, ...]
    arrangement: Arrangement
    asked_batch: int | None
    asked_jobs: int | None
    open: Callable[[Arrangement], AbstractContextManager[Draw]]


@contextmanager
def explaining_memory(arrangement: Arrangement) -> Iterator[None]:
    """Turns whatever a library raises when memory runs out into one error that says what to do.

    It can't tell of a process that the system kills for its memory: that set is resumed with a smaller batch.

    Raises:
        MachineError: memory ran out.
    """
    try:
        yield
    except Exception as error:
        words = str(error).lower()
        if not isinstance(error, MemoryError) and not any(each in words for each in _OUT_OF_MEMORY):
            raise
        if isinstance(error, MachineError):  # it says so already
            raise
        raise MachineError(
            f"memory ran out with {arrangement.batch * arrangement.jobs} pictures at once; "
            f"{_remedy(arrangement)}"
        ) from error


def _remedy(arrangement: Arrangement) -> str:
    advice = []
    if arrangement.batch > 1:
        advice.append(
            f"use a smaller --batch than {arrangement.batch}: the set then goes on where it stopped"
        )
    if arrangement.jobs > 1:  # a set that has pictures keeps its jobs
        advice.append("start another folder with --jobs 1")
    return ", or ".join(advice) or "use a lower precision, or a machine with more, in another folder"
