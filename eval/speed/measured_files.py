"""Tables of figures on disk, continued only where they came from the same machine and versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from mixdq.configs.errors import EvaluationError
from mixdq.configs.latency_table import Measured, first_difference
from mixdq.configs.machine import describe_machine, installed_versions

_PACKAGES = (
    "mixdq",
    "numpy",
    "pillow",
    "tokenizers",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt-rtx-cu13",
    "cuda-bindings",
    "torch",
    "diffusers",
    "transformers",
)

Table = TypeVar("Table", bound=Measured)


def here() -> tuple[Mapping[str, str], Mapping[str, str]]:
    """This machine, and the versions of all packages that do the work."""
    return describe_machine(), installed_versions(*_PACKAGES)


def continued(path: Path, read: Callable[[Path], Table]) -> Table | None:
    """The table that a file holds, to be continued; None if there is no file.

    Args:
        path: its file.
        read: reads it.

    Raises:
        EvaluationError: it is no such table, or comes from another machine or other versions.
    """
    if not path.exists():
        return None
    try:
        table = read(path)
    except EvaluationError as error:
        raise EvaluationError(f"{error}; give another --out") from error
    machine, versions = here()
    difference = first_difference(table.machine, machine) or first_difference(table.versions, versions)
    if difference:
        raise EvaluationError(
            f"{path} holds figures of another machine or other versions ({difference}, there and here), "
            "which are never put side by side; choose another --out, or remove the file"
        )
    return table
