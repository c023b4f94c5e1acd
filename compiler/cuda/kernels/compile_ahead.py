"""Compiles kernels of many shapes side by side, into Triton's cache on disk, before any is timed."""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from mixdq.compiler.cuda.kernels.shapes import Entry
from mixdq.compiler.cuda.kernels.tiles import Tile
from mixdq.compiler.cuda.kernels.timing import operands

_SHOWN = 100  # characters of why a kernel could not be compiled


def compile_ahead(jobs: Iterable[tuple[Entry, Tile]], batch: int) -> None:
    """Runs each kernel once, in a process for each core but one; says which could not be run.

    Args:
        jobs: shapes, each with the tile to compile it with; sizes are constants of the kernels, so that each
            shape has machine code of its own.
        batch: images a call.
    """
    # How often the UNet does it makes no other kernel.
    todo = sorted({(replace(entry, count=1), tile) for entry, tile in jobs}, key=lambda job: job[0].operator)
    if not todo:
        return
    workers = max(1, min(len(todo), (os.cpu_count() or 1) - 1))
    print(f"{len(todo)} kernels to compile", flush=True)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for message in pool.imap_unordered(partial(_compile, batch=batch), todo):
            if message:
                print(message, flush=True)


def kernel_errors() -> tuple[type[Exception], ...]:
    """What is raised of a kernel that can't be compiled or run."""
    triton_error: type[Exception] = importlib.import_module("triton.errors").TritonError
    return (RuntimeError, ValueError, triton_error)


def in_short(error: Exception) -> str:
    """The kind of an error and the beginning of what it says."""
    return f"{type(error).__name__}: {str(error)[:_SHOWN]}"


def _compile(job: tuple[Entry, Tile], batch: int) -> str | None:
    """What went wrong, if anything did."""
    entry, tile = job
    try:
        operands(entry, batch, copies=1).launch(tile)(0)
    except kernel_errors() as error:
        return f"  not compiled: {entry.operator} {entry.work} by {tile}: {in_short(error)}"
    return None
