"""For tests that compile packages on the CPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch._inductor.config


@pytest.fixture(autouse=True)
def _few_headers() -> Iterator[None]:
    """Headers that are compiled ahead help with a second package only."""
    with torch._inductor.config.patch({"aot_inductor.precompile_headers": False}):
        yield
