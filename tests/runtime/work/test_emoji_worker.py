"""A worker that holds the compiled emoji-turbo."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from mixdq.runtime.loading import load
from mixdq.runtime.work.job import Event, Job, Made, Ready
from mixdq.runtime.work.process import ProcessWork
from mixdq.runtime.work.spec import WorkerSpec

pytestmark = pytest.mark.anyio

_SOON_S = 300.0


async def test_its_encoders_give_the_calibrated_bos_row_and_it_draws_what_the_bundle_does(
    emoji_w8a8: Path,
) -> None:
    heard: asyncio.Queue[Event] = asyncio.Queue()
    work = ProcessWork(WorkerSpec(emoji_w8a8, "cpu", "cpu", 1, None, 1))
    work.start(heard.put_nowait)
    try:
        ready = await asyncio.wait_for(heard.get(), _SOON_S)
        assert isinstance(ready, Ready), ready
        assert set(ready.service_s) == {128, 192}
        work.submit(Job(1, ("pizza",), (3,), 128, 1))
        made = await asyncio.wait_for(heard.get(), _SOON_S)
    finally:
        work.kill()
        await work.ended()
    assert isinstance(made, Made)
    with load(emoji_w8a8, threads=1) as pipeline:
        expected = pipeline("pizza", seed=3, resolution=128)
    assert np.array_equal(made.pictures[0], np.asarray(expected))
