from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from mixdq.configs.gpu import find_gpu
from mixdq.eval.speed import nvml
from mixdq.eval.speed.nvml import ClockWatch, GpuPeak, GpuWatch

MIB = 1 << 20


class _Driver:
    """A driver that shows what the test says, and tells it when it was asked for processes."""

    def __init__(self, *, knows_us: bool) -> None:
        self.used, self.ours, self.pid = 100, 0, os.getpid() if knows_us else 1
        self.asked = threading.Event()
        self.rates = [345, 1980, 1965, 1980, 1980]

    NVML_CLOCK_SM = 1
    NVMLError = LookupError

    def nvmlDeviceGetClockInfo(self, handle: object, kind: int) -> int:  # noqa: N802
        assert kind == self.NVML_CLOCK_SM
        if not self.rates:
            raise self.NVMLError
        rate, *self.rates = self.rates
        if len(self.rates) == 1:
            self.asked.set()
        return rate

    def nvmlDeviceGetMemoryInfo(self, handle: object) -> Any:  # noqa: N802
        return SimpleNamespace(used=self.used * MIB)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: object) -> Any:  # noqa: N802
        entry = SimpleNamespace(pid=self.pid, usedGpuMemory=self.ours * MIB)
        self.asked.set()
        return [SimpleNamespace(pid=2, usedGpuMemory=900 * MIB), entry]

    def show(self, used: int, ours: int) -> None:
        self.used, self.ours = used, ours
        for _ in range(2):  # the first question may have begun before
            self.asked.clear()
            assert self.asked.wait(10)


@pytest.mark.parametrize(("knows_us", "process"), [(True, 350.0), (False, None)])
def test_a_peak_between_two_readings_is_seen(
    monkeypatch: pytest.MonkeyPatch, knows_us: bool, process: float | None
) -> None:
    driver = _Driver(knows_us=knows_us)
    monkeypatch.setattr(nvml, "_open", lambda: (driver, object()))
    with GpuWatch() as watch:
        driver.show(500, 350)
        driver.show(120, 20)
    assert watch.peak == GpuPeak(process=process, before=100.0, peak=500.0, after=120.0)


def test_the_clock_rate_is_the_median_of_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = _Driver(knows_us=True)
    monkeypatch.setattr(nvml, "_open", lambda: (driver, object()))
    with ClockWatch() as watch:
        assert driver.asked.wait(10)
    assert watch.sm_mhz == 1980


def test_a_driver_that_does_not_tell_the_clock_rate_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = _Driver(knows_us=True)
    driver.rates = []
    monkeypatch.setattr(nvml, "_open", lambda: (driver, object()))
    with ClockWatch() as watch:
        pass
    assert watch.sm_mhz is None


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
def test_without_a_gpu_there_is_nothing_to_see() -> None:
    with GpuWatch() as memory, ClockWatch() as clock:
        pass
    assert memory.peak is None
    assert clock.sm_mhz is None
