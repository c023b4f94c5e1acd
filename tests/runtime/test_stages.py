from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mixdq.runtime import load
from mixdq.runtime.pipeline import Stage


@pytest.mark.parametrize("steps", [1, 3])
def test_every_batch_goes_through_its_stages_once_and_in_order(tiny_bundle: Path, steps: int) -> None:
    seen: list[str] = []

    @contextmanager
    def watch(stage: Stage) -> Iterator[None]:
        seen.append(f"{stage} begins")
        yield
        seen.append(f"{stage} ends")

    pipeline = load(tiny_bundle)
    plain = pipeline(["a", "b", "c"], seed=5, resolution=16, steps=steps)
    pipeline.on_stage = watch
    watched = pipeline(["a", "b", "c"], seed=5, resolution=16, steps=steps)
    batch = [f"{stage} {what}" for stage in ("text", "unet", "vae") for what in ("begins", "ends")]
    assert seen == batch + batch  # of two pictures each
    assert [image.tobytes() for image in watched] == [image.tobytes() for image in plain]
