from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from mixdq.compiler.worker import Finished, Report, run_in_child
from mixdq.configs.bundle import Bundle
from mixdq.configs.files import sha256_of_file
from mixdq.configs.gpu import find_gpu
from mixdq.configs.latency_table import STAGES, LatencyTable
from mixdq.configs.layers import LayerTable
from mixdq.configs.target import Backend
from mixdq.eval.speed.bundle_subject import executed
from mixdq.eval.speed.subject import Case

Run = Callable[..., tuple[int, str, str]]

QUICK = ("--warmup", 1, "--repeats", 3, "--processes", 1)
no_gpu = pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "latency.json"


def test_every_stage_of_every_resolution_is_measured(tiny_bundle: Path, out: Path, run: Run) -> None:
    code, output, error = run("latency", tiny_bundle, "--out", out, *QUICK)
    assert (code, error) == (0, "")
    assert "bundle" in output
    table = LatencyTable.read(out)
    assert [(row.name, row.resolution) for row in table.rows] == [
        (name, size) for size in (16, 24) for name in STAGES
    ]
    for row in table.rows:
        assert (row.source, row.model, row.batch, row.runs) == ("bundle", "tiny", 2, 3)
        assert row.precision == "FP16 plan, FP32 in ONNX Runtime"
        assert row.processes == 1
        assert row.lowest_process_us == row.highest_process_us == row.median_us
        assert (row.target, row.device, row.clock, row.kind) == ("cpu", "cpu", "wall", "stage")
        assert 0 < row.lower_quartile_us <= row.median_us <= row.upper_quartile_us <= row.p95_us
    *parts, whole = (table.find(name, resolution=16, batch=2) for name in STAGES)
    assert all(whole.median_us > part.lower_quartile_us for part in parts)
    assert table.versions["onnxruntime"]


def test_cases_take_turns_in_fresh_processes_whose_spread_is_shown(
    tiny_bundle: Path, out: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []

    def noted(function: Callable[..., Any], case: Case, *more: Any, report: Report) -> Finished[Any]:
        order.append(case.resolution)
        done = run_in_child(function, case, *more, report=report)
        medians.append(median(done.value.stages["picture"]))
        return done

    medians: list[float] = []
    monkeypatch.setattr("mixdq.eval.speed.latency.run_in_child", noted)
    arguments = ("latency", tiny_bundle, "--out", out, "--warmup", 0, "--repeats", 3, "--processes", 2)
    code, output, error = run(*arguments)
    assert (code, error, order) == (0, "", [16, 24, 16, 24])
    row = LatencyTable.read(out).find("picture", resolution=16, batch=2)
    assert (row.runs, row.processes) == (6, 2)
    low, high = sorted(medians[::2])
    assert (row.lowest_process_us, row.highest_process_us) == (round(low, 2), round(high, 2))
    assert f"2: {low / 1e3:.1f} to {high / 1e3:.1f}" in output
    assert row.lowest_process_us <= row.median_us <= row.highest_process_us
    run(*arguments)
    assert len(order) == 4
    run(*arguments[:-1], 1)
    assert [row.processes for row in LatencyTable.read(out).rows] == [1] * 10


def test_the_table_tells_what_was_run(tiny_bundle: Path, out: Path, run: Run) -> None:
    run("latency", tiny_bundle, "--out", out, "--resolution", 16, "--prompt", "a", "--seed", 7, *QUICK)
    table = LatencyTable.read(out)
    (ran,) = table.runs.values()
    assert {row.run_digest for row in table.rows} == set(table.runs)
    assert (ran.prompt, ran.seed, ran.warmup, ran.repeats) == ("a", 7, 1, 3)
    bundle = Bundle.read(tiny_bundle)
    assert ran.model_digest == bundle.model.digest
    assert list(ran.engines) == ["text", "unet", "vae"]
    assert len(ran.engines["text"]) == 2
    files = {path: digest for stage in ran.engines.values() for path, digest in stage.items()}
    assert files == {path: sha256_of_file(tiny_bundle / path) for path in files}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"version": 1, "rows": []}', "its version is 1"),
        ('{"rows": [], "machine": {}}', "its version is missing"),
        ('{"version": 2, "rows": [{}], "machine": {}, "versions": {}}', "rows.0.name: Field required"),
        ("{", "is not valid JSON"),
        ("[]", "not a valid dict"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused_with_what_to_do(
    tiny_bundle: Path, out: Path, run: Run, text: str, found: str
) -> None:
    out.write_text(text)
    code, _, error = run("latency", tiny_bundle, "--out", out, *QUICK)
    assert (code, error.count("\n")) == (2, 1)
    assert "latency.json is no latency table of version 2, which `mixdq-eval latency` writes" in error
    assert found in error
    assert "; give another --out" in error
    assert out.read_text() == text


PLANS = [
    ("FP16", Backend.CPU, "FP16 plan, FP32 in ONNX Runtime"),
    ("FP16", Backend.RTX, "FP16"),
    ("FP16, 2 of 9 layers W8A8", Backend.CPU, "FP16, 2 of 9 layers W8A8; FP32 for FP16 in ONNX Runtime"),
    ("W8A8 (BOS-aware)", Backend.CPU, "W8A8 (BOS-aware)"),
]


@pytest.mark.parametrize(("plan", "backend", "named"), PLANS)
def test_what_a_plan_runs_in_is_named(plan: str, backend: Backend, named: str) -> None:
    assert executed(plan, backend) == named


def test_what_is_measured_already_is_not_measured_again(tiny_bundle: Path, out: Path, run: Run) -> None:
    run("latency", tiny_bundle, "--out", out, "--resolution", 16, *QUICK)
    first = LatencyTable.read(out)
    assert run("latency", tiny_bundle, "--out", out, *QUICK)[0] == 0
    both = LatencyTable.read(out)
    assert both.rows[:5] == first.rows
    assert [row.resolution for row in both.rows[5:]] == [24] * 5


def test_other_settings_and_other_files_are_measured_again_in_place(
    tiny_bundle: Path, out: Path, run: Run
) -> None:
    where = ("latency", tiny_bundle, "--out", out, "--resolution", 16)
    run(*where, *QUICK)
    again_4 = ("--warmup", 1, "--repeats", 4, "--processes", 1)
    run(*where, *again_4)
    table = LatencyTable.read(out)
    assert [row.runs for row in table.rows] == [4] * 5
    bundle = tiny_bundle / "bundle.json"
    bundle.write_text(bundle.read_text() + "\n")
    run(*where, *again_4)
    again = LatencyTable.read(out)
    assert len(again.rows) == 5
    assert {row.run_digest for row in again.rows}.isdisjoint(row.run_digest for row in table.rows)


def test_what_was_finished_before_a_failure_is_kept(tiny_bundle: Path, out: Path, run: Run) -> None:
    broken = tiny_bundle.parent / "broken"
    shutil.copytree(tiny_bundle, broken)
    (broken / "unet-16.onnx").write_bytes(b"damaged")
    code, _, error = run("latency", tiny_bundle, broken, "--out", out, "--resolution", 16, *QUICK)
    assert (code, error.count("\n")) == (2, 1)
    assert "unet-16.onnx was changed or damaged" in error
    assert {row.source for row in LatencyTable.read(out).rows} == {"bundle"}


def test_after_ctrl_c_the_same_command_goes_on(tiny_bundle: Path, out: Path, run: Run) -> None:
    arguments = ["latency", str(tiny_bundle), "--out", str(out), "--repeats", "100", "--processes", "1"]
    program = "from mixdq.eval.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        while not out.exists() and process.poll() is None:
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        assert b"interrupted" in process.communicate()[1]
    assert process.returncode == 130
    first = LatencyTable.read(out)
    assert {row.resolution for row in first.rows} == {16}
    assert list(out.parent.glob(".*.part")) == []
    assert run(*arguments)[0] == 0
    assert LatencyTable.read(out).rows[:5] == first.rows


def test_figures_of_another_machine_are_not_continued(tiny_bundle: Path, out: Path, run: Run) -> None:
    run("latency", tiny_bundle, "--out", out, "--resolution", 16, *QUICK)
    plain = json.loads(out.read_text())
    plain["machine"]["processor"] = "another"
    out.write_text(json.dumps(plain))
    code, _, error = run("latency", tiny_bundle, "--out", out, *QUICK)
    assert (code, error.count("\n")) == (2, 1)
    assert "another machine or other versions (processor: another and" in error


def test_the_csv_has_the_probe_s_columns(tiny_bundle: Path, out: Path, run: Run) -> None:
    file = out.with_suffix(".csv")
    rounds = ("--warmup", 2, "--repeats", 3, "--processes", 1)
    which = ("--resolution", 16, "--prompt", "a, b")
    code, _, error = run("latency", tiny_bundle, "--out", out, "--csv", file, *which, *rounds)
    assert (code, error) == (0, "")
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["mode", "res", "p50_ms", "p95_ms", "peak_mem_GB", "prompt"]
    assert [(row["mode"], row["res"], row["prompt"]) for row in rows] == [
        ("FP16 plan, FP32 in ONNX Runtime", "16", "a, b")
    ]
    table = LatencyTable.read(out)
    for row in rows:
        found = table.find("picture", resolution=int(row["res"]), batch=2)
        assert float(row["p50_ms"]) == pytest.approx(found.median_us / 1e3, abs=1e-3)
        assert float(row["p50_ms"]) <= float(row["p95_ms"])
        assert 0 < float(row["peak_mem_GB"]) < 1


REFUSALS = {
    "resolution": (("--resolution", 32), "draws 16, 24 pixels, not 32"),
    "batch": (("--batch", 3), "was built for batches of 2, not of 3; leave --batch out"),
    "target": (("--target", "rtx:sm89"), "was built for cpu, not for rtx:sm89"),
    "no such target": (("--target", "npu"), "unknown target 'npu'"),
    "csv without warm-ups": (("--csv", "x.csv", "--warmup", 1), "at least 2 warm-ups, not 1"),
}


@pytest.mark.parametrize(("options", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_the_bundle_can_not_do_is_refused_before_anything_runs(
    tiny_bundle: Path, out: Path, run: Run, options: tuple[object, ...], message: str
) -> None:
    code, _, error = run("latency", tiny_bundle, "--out", out, *options)
    assert (code, error.count("\n")) == (2, 1)
    assert message in error
    assert not out.exists()


@no_gpu
@pytest.mark.parametrize("source", ["bundle", "emoji-turbo"])
def test_without_a_gpu_cuda_is_refused(tiny_bundle: Path, out: Path, run: Run, source: str) -> None:
    place = tiny_bundle if source == "bundle" else source
    code, _, error = run("latency", place, "--out", out, "--device", "cuda")
    assert (code, error.count("\n")) == (2, 1)
    assert "needs an NVIDIA GPU, and this machine has none" in error


def test_cuda_graphs_on_the_cpu_are_refused(out: Path, run: Run) -> None:
    code, _, error = run("latency", "emoji-turbo", "--out", out, "--cuda-graph")
    assert (code, error.count("\n")) == (2, 1)
    assert "add --device cuda" in error


def test_a_folder_that_is_neither_bundle_nor_model_is_refused(tmp_path: Path, out: Path, run: Run) -> None:
    code, _, error = run("latency", tmp_path, "--out", out)
    assert (code, error.count("\n")) == (2, 1)
    assert "holds neither bundle.json nor model_index.json" in error


def test_a_broken_bundle_is_refused(tiny_bundle: Path, out: Path, run: Run) -> None:
    (tiny_bundle / "bundle.json").write_text('{"version": 2}')
    code, _, error = run("latency", tiny_bundle, "--out", out)
    assert (code, error.count("\n")) == (2, 1)
    assert "not a valid bundle" in error


def test_two_bundles_of_one_name_are_refused(tiny_bundle: Path, tmp_path: Path, out: Path, run: Run) -> None:
    other = shutil.copytree(tiny_bundle, tmp_path / "elsewhere" / "bundle")
    code, _, error = run("latency", tiny_bundle, other, "--out", out)
    assert (code, error.count("\n")) == (2, 1)
    assert "2 of the sources would be called bundle (cpu on cpu)" in error


def test_layers_of_the_reference_are_refused(out: Path, run: Run) -> None:
    code, _, error = run("latency", "emoji-turbo", "--out", out, "--layers")
    assert (code, error.count("\n")) == (2, 1)
    assert "emoji-turbo runs as diffusers on cpu; leave --layers out" in error


def test_layers_go_into_the_table_with_the_plan_s_precision(emoji_w8a8: Path, out: Path, run: Run) -> None:
    code, output, error = run(
        *("latency", emoji_w8a8, "--out", out, "--layers", "--resolution", 128),
        *("--warmup", 0, "--repeats", 2, "--processes", 2),
    )
    assert (code, error) == (0, "")
    assert "w8a8 at 128 pixels: the UNet's kernels take " in output
    table = LatencyTable.read(out)
    conv_out = table.find("conv_out", resolution=128, batch=1)
    assert (conv_out.kind, conv_out.precision) == ("layer", "W8A16")
    assert conv_out.clock == "onnxruntime profile"
    # The kernels of one process alone, the stages of both.
    assert (conv_out.processes, conv_out.runs) == (1, 2)
    assert {(row.processes, row.runs) for row in table.rows if row.kind == "stage"} == {(2, 4)}
    first = table.find("time_embedding.linear_1", resolution=128, batch=1, precision="W8A8")
    assert first.median_us > 0
    layers = {row.name: row for row in table.rows if row.kind == "layer"}
    assert set(layers) == set(LayerTable.read(emoji_w8a8 / "layers.json").by_name)
    assert all(row.median_us > 0 for row in layers.values())
    rest = {row.name: row for row in table.rows if row.kind == "rest"}
    assert not {"MatMulIntegerToFloat", "MatMul", "Conv", "Gemm", "DequantizeLinear"} & set(rest)
    classes = {row.name: row for row in table.rows if row.kind == "class"}
    assert set(classes) == {"layers", "quantize", "rest", "profiler", "unprofiled run"}
    # Of two runs the median is the mean, so that sums of medians are medians of sums: nothing is lost.
    parts = sum(row.median_us for row in [*layers.values(), *rest.values()])
    sums = sum(classes[name].median_us for name in ("layers", "quantize", "rest"))
    assert parts == pytest.approx(sums, abs=0.005 * len(table.rows))  # figures have two decimals


def test_the_reference_is_measured_without_a_bundle(out: Path, run: Run) -> None:
    code, output, error = run(
        "latency",
        "emoji-turbo",
        "--out",
        out,
        "--resolution",
        32,
        "--batch",
        2,
        "--warmup",
        0,
        "--repeats",
        2,
        "--processes",
        1,
    )
    assert (code, error) == (0, "")
    assert "float32" in output
    rows = LatencyTable.read(out).rows
    assert [row.name for row in rows] == list(STAGES)
    assert {(row.target, row.device, row.plan_digest, row.batch) for row in rows} == {
        ("diffusers", "cpu", None, 2)
    }


def test_help_is_quick() -> None:
    program = (
        "import sys\nfrom mixdq.eval.cli import app\n"
        "try:\n    app(['latency', '--help'])\nexcept SystemExit as ended:\n    assert ended.code == 0\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'pynvml', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
