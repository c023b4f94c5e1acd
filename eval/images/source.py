"""What can draw: a function from prompts and seeds to pictures, and all that its pictures depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from PIL.Image import Image

from mixdq.configs.errors import MachineError
from mixdq.eval.image_set import Painter

Draw: TypeAlias = Callable[[Sequence[str], Sequence[int]], list[Image]]
"""From prompts and as many seeds to as many RGB pictures; called from `PictureSource.at_once` threads."""

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
        batch: pictures of one call of `Draw`.
        at_once: calls side by side, each in a thread of its own.
        open: loads engines or weights; leaving the context frees them.
    """

    painter: Painter
    libraries: tuple[str, ...]
    batch: int
    at_once: int
    open: Callable[[], AbstractContextManager[Draw]]


@contextmanager
def explaining_memory(batch: int, at_once: int) -> Iterator[None]:
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
        advice = [f"a smaller --batch than {batch}"] * (batch > 1) + ["--jobs 1"] * (at_once > 1)
        remedy = f"use {' or '.join(advice)}" if advice else "use a lower precision, or a machine with more"
        raise MachineError(
            f"memory ran out with {batch * at_once} pictures at once; {remedy}: the set then goes on "
            "where it stopped"
        ) from error
