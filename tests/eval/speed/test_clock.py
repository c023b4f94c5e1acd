from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from mixdq.eval.speed import clock
from mixdq.eval.speed.clock import CudaClock, WallClock


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that shows 0, 1, 3, 6, 10, … seconds."""

    def ticks() -> Iterator[float]:
        now = 0.0
        for step in range(100):
            now += step
            yield now

    shown = ticks()
    monkeypatch.setattr(clock, "perf_counter", lambda: next(shown))


@pytest.mark.usefixtures("seconds")
def test_stages_are_measured_inside_others_and_add_up_when_entered_again() -> None:
    watch = WallClock()
    with watch.stage("picture"):  # 0 to 15
        with watch.stage("unet"):  # 1 to 3
            pass
        with watch.stage("unet"):  # 6 to 10
            pass
    assert watch.take() == {"picture": 15e6, "unet": 6e6}
    assert watch.take() == {}


class _Event:
    """An event of a stream that shows one millisecond more with each record."""

    shown = 0.0

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        _Event.shown += 1.0
        self.at = _Event.shown

    def elapsed_time(self, end: _Event) -> float:
        return end.at - self.at


@pytest.mark.usefixtures("seconds")
def test_a_gpu_s_stages_are_measured_by_events_and_what_ends_on_the_processor_by_its_clock() -> None:
    waited: list[str] = []
    watch: Any = CudaClock()
    cuda = SimpleNamespace(Event=_Event, synchronize=lambda: waited.append("waited"))
    watch._torch = SimpleNamespace(cuda=cuda)
    with watch.stage("picture"):
        with watch.stage("text"):
            pass
        with watch.stage("unet"):
            pass
    assert len(waited) == 2
    assert watch.take() == {"picture": 1e6, "text": 1e3, "unet": 1e3}
    assert [watch.kind(stage) for stage in ("text", "unet", "vae")] == ["cuda events"] * 3
    assert [watch.kind(stage) for stage in ("encode", "picture")] == ["wall"] * 2
