"""Kernels that TensorRT for RTX compiled on a GPU, kept for the next start.

One file an engine, GPU and version, in the user's cache folder. Without it every start compiles again.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from mixdq.configs.errors import StorageError
from mixdq.configs.files import writing
from mixdq.configs.gpu import Gpu


def kernel_cache_path(engine_sha256: str, gpu: Gpu, version: str) -> Path | None:
    """Where the kernels of an engine are kept: `$XDG_CACHE_HOME/mixdq/rtx/…`, else `~/.cache/mixdq/rtx/…`.

    None for a user without a home, as in some containers: nothing is kept.
    """
    try:
        # An empty variable counts as absent (XDG Base Directory Specification).
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    name = re.sub(r"[^A-Za-z0-9]+", "-", gpu.name).strip("-").lower()
    return root / "mixdq" / "rtx" / f"{engine_sha256[:32]}-{name}-sm{gpu.sm}-{version}.kernels"


def read_kernels(path: Path) -> bytes | None:
    """What was kept, or None."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def keep_kernels(path: Path, kernels: bytes) -> None:
    """Writes the file, whole or not at all, unless it holds the same already.

    A folder that can't be written costs time at the next start, not this picture.
    """
    if read_kernels(path) != kernels:
        with suppress(StorageError), writing(path) as temporary:
            temporary.write_bytes(kernels)
