"""Where and how the scorers compute: device, batches, and what keeps results the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mixdq.configs.errors import EvaluationError, MachineError


@contextmanager
def computing(device: str, batch: int) -> Iterator[None]:
    """Inference on `device`, the same at every run: cuDNN's deterministic kernels, no TF32.

    Raises:
        MachineError: memory ran out.
    """
    try:
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        advice = f"score with a batch smaller than {batch}" if batch > 1 else "free some memory"
        raise MachineError(f"memory of {device} ran out at {batch} pictures at a time; {advice}") from error


def check_device(device: str, batch: int) -> None:
    """Refuses a device that is not here and a batch of none.

    Raises:
        EvaluationError: the batch is not positive.
        MachineError: there is no such device.
    """
    if batch < 1:
        raise EvaluationError(f"a batch of {batch} pictures can't be scored; give 1 or more")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().split("\n")[0]
        raise MachineError(f"torch can't compute on {device!r} here: {reason}; use --device cpu") from error


def check_pairs(images: int, prompts: int) -> None:
    """Refuses pictures without prompts, prompts without pictures, and nothing at all.

    Raises:
        EvaluationError: the numbers differ, or both are 0.
    """
    if images != prompts or not images:
        raise EvaluationError(
            f"each picture needs its own prompt: {images} pictures and {prompts} prompts were given; give as "
            "many of each"
        )


def slices(count: int, batch: int) -> Iterator[slice]:
    """`count` things, `batch` at a time."""
    for start in range(0, count, batch):
        yield slice(start, min(start + batch, count))


def _is_memory(error: BaseException) -> bool:
    return not isinstance(error, RuntimeError) or any(
        words in str(error) for words in ("out of memory", "can't allocate memory", "not enough memory")
    )
