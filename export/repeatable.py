"""The same numbers at every run, on one machine with one version of torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def repeatable(threads: int | None = None) -> Iterator[None]:
    """Deterministic kernels while the block runs, and no TF32 where FP32 was asked for.

    Args:
        threads: how many torch may use on the CPU, on which its sums' order depends; None for as many as it
            uses already.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)
