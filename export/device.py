"""The device that torch computes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mixdq.configs.errors import MachineError, TargetError

DEVICES = ("cpu", "cuda")


def find_device(name: str | None) -> str:
    """A device by torch's name: the one asked for, or else a GPU where torch finds one.

    Raises:
        TargetError: no such device here.
    """
    there = torch.cuda.is_available()
    if name is None:
        return "cuda" if there else "cpu"
    if name not in DEVICES:
        raise TargetError(f"--device is one of {', '.join(DEVICES)}, not {name!r}")
    if name == "cuda" and not there:
        raise TargetError(
            f"torch {torch.__version__} finds no CUDA device here; use --device cpu, or a machine with an "
            "NVIDIA GPU and a CUDA build of torch"
        )
    return name


def device_words(device: str) -> str:
    """What it is, for files that say what measured: the GPU's name, or `cpu`."""
    return torch.cuda.get_device_name() if device == "cuda" else device


@contextmanager
def gpu_memory(advice: str) -> Iterator[None]:
    """Says what to do where a GPU's memory runs out while the block runs.

    Raises:
        MachineError: it did.
    """
    try:
        yield
    except RuntimeError as error:
        # cuBLAS and cuDNN allocate beside torch, and their errors are of no kind of their own.
        if not isinstance(error, torch.OutOfMemoryError) and "ALLOC_FAILED" not in str(error):
            raise
        found = str(error).splitlines()[0].split(". ")[0]
        raise MachineError(f"the GPU's memory ran out ({found}); {advice}") from error
