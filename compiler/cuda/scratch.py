"""The GPU's memory that a package takes to compute, measured once it is compiled."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_RUNS = 2  # libraries take memory of their own in the first


def measure_scratch(path: Path, constants: Mapping[str, Tensor], inputs: Sequence[Tensor]) -> int:
    """Bytes that torch's allocator gives out at most while a package runs, its constants left out.

    Args:
        path: the package.
        constants: on the GPU, by the package's names.
        inputs: examples of its inputs, on the GPU.

    Raises:
        RuntimeError: it can't be run, which is a defect.
    """
    package = _loaded(path, constants)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    with torch.no_grad():
        for _ in range(_RUNS):
            outputs = package.loader.boxed_run([value.clone() for value in inputs])
            torch.cuda.synchronize()
            del outputs
    return max(0, torch.cuda.max_memory_allocated() - before)


def _loaded(path: Path, constants: Mapping[str, Tensor]) -> Any:
    loader = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", True, 1, -1)
    # Not of torch's public names: their loader asks the C++ compiler about this machine's processor first.
    package: Any = importlib.import_module("torch.export.pt2_archive._package").AOTICompiledModel(loader)
    package.load_constants(dict(constants), check_full_update=True, user_managed=True)
    return package
