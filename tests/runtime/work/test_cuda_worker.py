"""A worker that is told to hold engines of the CUDA back end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.bundle import Bundle
from mixdq.configs.gpu import find_gpu
from mixdq.runtime.work.job import Event, Failed
from mixdq.runtime.work.process import ProcessWork
from mixdq.runtime.work.spec import WorkerSpec

pytestmark = pytest.mark.anyio

_SOON_S = 60.0


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
async def test_without_a_gpu_it_says_so_and_what_to_do(emoji_w8a8: Path, tmp_path: Path) -> None:
    bundle = Bundle.read(emoji_w8a8)
    packages = tuple(replace(engine, target="cuda:sm90") for engine in bundle.engines)
    replace(bundle, engines=packages).write(tmp_path)
    heard: asyncio.Queue[Event] = asyncio.Queue()
    work = ProcessWork(WorkerSpec(tmp_path, "cuda:sm90", "cpu", None, None, 1))
    work.start(heard.put_nowait)
    try:
        failed = await asyncio.wait_for(heard.get(), _SOON_S)
    finally:
        work.kill()
        await work.ended()
    assert isinstance(failed, Failed)
    assert "cuda:sm90 engines run on an NVIDIA GPU, and this machine has none" in failed.message
    assert "--target cpu" in failed.message
