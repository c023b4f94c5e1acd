from __future__ import annotations

from dataclasses import replace

from mixdq.configs.latency_table import LatencyRow, LatencyRun, LatencyTable
from mixdq.eval.speed.steadiness import unsteady_line

ROW = LatencyRow(
    name="vae",
    kind="stage",
    precision="W8A8",
    plan_digest="1" * 64,
    target="cpu",
    device="cpu",
    resolution=256,
    batch=1,
    median_us=37_000.0,
    lower_quartile_us=36_500.0,
    upper_quartile_us=37_500.0,
    p95_us=38_000.0,
    runs=60,
    processes=3,
    lowest_process_us=36_100.0,
    highest_process_us=37_900.0,
    source="mixdq",
    model="tiny",
    steps=1,
    clock="wall",
    run_digest="a",
)
FASTER = replace(
    ROW,
    source="full",
    run_digest="b",
    median_us=26_500.0,
    lowest_process_us=26_100.0,
    highest_process_us=26_900.0,
)
VAE = {"vae.onnx": "5" * 64, "vae.weights": "6" * 64}


def _run(vae: dict[str, str]) -> LatencyRun:
    return LatencyRun("red apple", 0, 3, 20, "4" * 64, {"vae": vae})


def _line(*rows: LatencyRow, other: dict[str, str] = VAE) -> str | None:
    runs = {"a": _run(VAE), "b": _run(other), "c": _run(VAE)}
    return unsteady_line(LatencyTable(rows, {}, {}, runs))


def test_one_file_that_took_other_times_in_two_configurations_is_named_with_both() -> None:
    line = _line(ROW, FASTER)
    assert line is not None
    assert "not steady: vae of mixdq and of full is the same engine file (cpu on cpu, 256 pixels)" in line
    assert "36.1 to 37.9 and 26.1 to 26.9 ms; " in line
    assert _line(FASTER, ROW) is not None


def test_ranges_that_meet_are_no_sign() -> None:
    assert _line(ROW, replace(FASTER, highest_process_us=36_100.0)) is None
    assert _line(ROW, replace(FASTER, highest_process_us=35_400.0)) is None  # 2 %: by chance
    assert _line(ROW, replace(FASTER, highest_process_us=35_300.0)) is not None
    assert _line(ROW, replace(FASTER, lowest_process_us=36_500.0, highest_process_us=37_000.0)) is None


def test_other_files_and_sizes_and_single_processes_are_not_compared() -> None:
    assert _line(ROW, FASTER, other=VAE | {"vae.weights": "7" * 64}) is None
    assert _line(ROW, replace(FASTER, resolution=128)) is None
    assert _line(ROW, replace(FASTER, device="cuda")) is None
    assert _line(ROW, replace(FASTER, name="encode")) is None
    assert _line(ROW, replace(FASTER, processes=1)) is None
    assert _line(ROW, replace(FASTER, run_digest="unknown")) is None


def test_files_are_known_by_their_digests_wherever_they_lie() -> None:
    moved = {f"elsewhere/{path}": digest for path, digest in VAE.items()}
    assert _line(ROW, FASTER, other=moved) is not None


def test_of_several_pairs_the_widest_is_named() -> None:
    slowest = replace(
        ROW, source="slow", run_digest="c", lowest_process_us=50_000.0, highest_process_us=51_000.0
    )
    line = _line(ROW, FASTER, slowest)
    assert line is not None
    assert "vae of full and of slow is" in line
    assert "(2 more such pairs)" in line
