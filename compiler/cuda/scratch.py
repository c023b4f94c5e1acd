"""The GPU's memory that packages take to compute, measured once they are compiled."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixdq.compiler.cuda.constants import read_constants
from mixdq.compiler.worker import Report
from mixdq.configs.bundle import TensorSpec

_RUNS = 2  # libraries take memory of their own in the first


def measure_scratch(
    report: Report, packages: Sequence[tuple[Path, tuple[TensorSpec, ...]]], constants: Path
) -> list[int]:
    """Bytes that torch's allocator gives out at most while each package runs, its constants left out.

    To be called in a process of its own: packages are loaded as the runtime loads them, with nothing of the
    compiler beside them.

    Args:
        report: told how many have run.
        packages: the files, and the tensors to feed.
        constants: the file that holds the constants of all of them.

    Raises:
        RuntimeError: one can't be run, which is a defect.
    """
    values = read_constants(constants, "cuda")
    found = []
    for index, (path, inputs) in enumerate(packages):
        report("measuring memory", index, len(packages))
        found.append(_peak(_loaded(path, values), inputs))
    return found


def _peak(package: Any, inputs: Sequence[TensorSpec]) -> int:
    def run() -> None:
        # The list is emptied by the call, as its name says.
        package.loader.boxed_run(
            [torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype), device="cuda") for spec in inputs]
        )
        torch.cuda.synchronize()

    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    with torch.no_grad():
        for _ in range(_RUNS):
            run()
    return max(0, torch.cuda.max_memory_allocated() - before)


def _loaded(path: Path, constants: Mapping[str, Tensor]) -> Any:
    loader = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", True, 1, -1)
    # As the runtime does it (`runtime/cuda_engine.py`), which the compiler does not import.
    package: Any = importlib.import_module("torch.export.pt2_archive._package").AOTICompiledModel(loader)
    needed = {name: constants[name] for name in package.get_constant_fqns()}
    package.load_constants(needed, check_full_update=True, user_managed=True)
    return package
