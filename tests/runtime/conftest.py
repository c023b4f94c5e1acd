"""Tests that need a GPU are skipped where CUDA shows none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mixdq.configs.gpu import find_gpu
from mixdq.runtime.device_program import Workspace


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """A stream and its scratch memory on the GPU."""
    pytest.importorskip("cuda.bindings.runtime")
    if find_gpu() is None:
        pytest.skip("no GPU")
    with Workspace() as opened:
        yield opened
