from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table

from mixdq.configs.latency_table import STAGES, LatencyRow, LatencyTable
from mixdq.configs.memory_table import MemoryRow, MemoryTable
from mixdq.eval.speed.latency_view import kernel_lines, latency_view
from mixdq.eval.speed.memory_view import memory_view

MACHINE = {"gpu": "NVIDIA A (sm90)"}
TIME = LatencyRow(
    name="unet",
    kind="stage",
    precision="float16",
    plan_digest=None,
    target="diffusers",
    device="cuda",
    resolution=512,
    batch=4,
    median_us=2000.0,
    lower_quartile_us=1900.0,
    upper_quartile_us=2100.0,
    p95_us=2200.0,
    runs=60,
    processes=3,
    lowest_process_us=1900.0,
    highest_process_us=2100.0,
    source="tiny",
    model="tiny",
    steps=1,
    clock="cuda events",
    run_digest="1" * 64,
)
PEAK = MemoryRow(
    source="tiny",
    model="tiny",
    precision="float16",
    plan_digest=None,
    target="diffusers",
    device="cuda",
    resolution=512,
    batch=4,
    steps=1,
    weights_mib=None,
    host_baseline_mib=400.0,
    host_peak_mib=900.0,
    allocator_allocated_mib=111.0,
    allocator_reserved_mib=222.0,
    gpu_process_mib=None,
    gpu_before_mib=333.0,
    gpu_peak_mib=777.0,
    gpu_after_mib=444.0,
    pictures=2,
    run_digest="1" * 64,
)


def _text(view: Table) -> str:
    console = Console(width=250)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def _stages() -> list[LatencyRow]:
    wall = {"encode", "picture"}
    return [replace(TIME, name=name, clock="wall" if name in wall else TIME.clock) for name in STAGES]


def test_every_configuration_is_a_line_that_names_its_clocks() -> None:
    text = _text(latency_view(LatencyTable(tuple(_stages()), MACHINE, {})))
    line = next(line for line in text.splitlines() if "tiny" in line)
    assert line.split()[:7] == ["tiny", "float16", "diffusers,", "cuda", "512", "4", "1"]
    assert "2.0   1.9 to 2.1   2.2   3: 1.9 to 2.1   cuda events; encode, picture: wall" in line
    assert "NVIDIA A (sm90)" in text


@pytest.mark.parametrize(
    ("run", "conv_in", "coverage", "busy"),
    [
        (1000.0, 600.0, "95 %", False),
        (2000.0, 600.0, "48 %", True),  # runs with the profiler were not disturbed as others were
        (1000.0, 300.0, "95 %", True),  # each run was disturbed in another layer
    ],
)
def test_kernels_are_compared_with_a_whole_run(run: float, conv_in: float, coverage: str, busy: bool) -> None:
    parts = {"conv_in": ("layer", conv_in), "conv_out": ("layer", 200.0), "Softmax": ("rest", 150.0)}
    sums = {"layers": 700.0, "quantize": 100.0, "rest": 150.0, "unprofiled run": run}
    parts |= {name: ("class", spent) for name, spent in sums.items()}
    rows = [replace(TIME, name=name, kind=kind, median_us=spent) for name, (kind, spent) in parts.items()]
    (line,) = kernel_lines(LatencyTable((*_stages(), *rows), MACHINE, {}))
    assert f"the UNet's kernels take 0.9 ms, {coverage} of the {run / 1e3} ms" in line
    assert f"the 2 layers sum to {(conv_in + 200) / 1e3} ms" in line
    assert ("other work" in line) is busy


def test_a_gpus_memory_has_columns_of_its_own() -> None:
    text = _text(memory_view(MemoryTable((PEAK,), MACHINE, {})))
    line = next(line for line in text.splitlines() if "tiny" in line)
    assert line.split()[6:] == ["–", "400", "900", "500", "111", "222", "–", "333", "777", "444"]
    on_cpu = replace(PEAK, device="cpu")
    assert "GPU" not in _text(memory_view(MemoryTable((on_cpu,), {}, {})))
