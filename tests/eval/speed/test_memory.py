from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mixdq.configs.bundle import Bundle
from mixdq.configs.memory_table import MemoryTable

Run = Callable[..., tuple[int, str, str]]
PLACE = {"target": "cpu", "device": "cpu"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "memory.json"


def test_peaks_on_the_cpu_come_with_their_baseline_and_the_weights(
    tiny_bundle: Path, out: Path, run: Run
) -> None:
    code, output, error = run("memory", tiny_bundle, "--out", out)
    assert (code, error) == (0, "")
    assert "weights on disk" in output
    assert "torch reserved" not in output
    table = MemoryTable.read(out)
    assert [(row.resolution, row.batch) for row in table.rows] == [(16, 2), (24, 2)]
    for row in table.rows:
        assert 10 < row.host_baseline_mib < row.host_peak_mib
        gpu = (row.allocator_allocated_mib, row.gpu_process_mib, row.gpu_peak_mib)
        assert gpu == (None, None, None)
    sizes = {engine.resolution: engine.file.bytes for engine in Bundle.read(tiny_bundle).engines}
    assert sizes[16] > 0


def test_the_larger_model_takes_more(emoji_full: Path, tiny_bundle: Path, out: Path, run: Run) -> None:
    run("memory", tiny_bundle, "--resolution", 16, "--out", out)
    run("memory", emoji_full, "--resolution", 128, "--out", out)
    table = MemoryTable.read(out)
    tiny = table.find("bundle", resolution=16, batch=2, **PLACE)
    full = table.find("full", resolution=128, batch=1, **PLACE)
    # 57 MiB of FP32 weights are in memory once at least.
    assert full.weights_mib is not None
    assert full.weights_mib > 50
    assert full.peak_mib > tiny.peak_mib + 40
    assert tiny.weights_mib == 0.0


def test_what_is_measured_already_is_not_measured_again(tiny_bundle: Path, out: Path, run: Run) -> None:
    where = ("memory", tiny_bundle, "--out", out, "--resolution", 16)
    run(*where)
    first = out.stat().st_mtime_ns
    run(*where)
    assert out.stat().st_mtime_ns == first
    run(*where, "--pictures", 1)
    assert [row.pictures for row in MemoryTable.read(out).rows] == [1]


def test_a_size_that_the_bundle_lacks_is_refused(tiny_bundle: Path, out: Path, run: Run) -> None:
    code, _, error = run("memory", tiny_bundle, "--out", out, "--resolution", 40)
    assert (code, error.count("\n")) == (2, 1)
    assert "draws 16, 24 pixels, not 40" in error
