"""Whole runs of the tiny model through the real command."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mixdq.compiler.report import RunReport
from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.runtime import load

Command = Callable[..., subprocess.CompletedProcess[str]]
RTX = "rtx:sm89"


def stages_that_ran(root: Path) -> set[str]:
    return {stage.name for stage in RunReport.read(root).stages if stage.ran_now}


def snapshot(root: Path) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()
    }


def test_a_run_makes_a_bundle_whose_files_all_match(tiny_run: Path) -> None:
    bundle = Bundle.read(tiny_run)
    assert {engine.target for engine in bundle.engines} == {"cpu", RTX}
    assert {engine.component for engine in bundle.engines} == set(Component)
    for engine in bundle.engines:
        for file in (engine.file, *engine.weights):
            file.check(tiny_run)
    table = LayerTable.read(tiny_run / "layers.json")
    plan = PrecisionPlan.read(tiny_run / "plan.yaml")
    ranges = RangeTable.read(tiny_run / "ranges.json")
    plan.check(table)
    ranges.check(table)
    assert (bundle.plan_digest, bundle.layers_digest, bundle.ranges_digest) == (
        plan.digest,
        table.digest,
        ranges.digest,
    )
    assert bundle.plan_summary == f"W8A8, 2 of {len(table)} layers W8A16 (BOS-aware, split shortcuts)"
    assert str(plan[LayerName("conv_in")]) == "W8A16"


def test_the_bundle_makes_a_picture(tiny_run: Path) -> None:
    image = load(tiny_run)("a red apple", seed=1)
    assert image.size == (64, 64)


def test_the_report_says_what_each_stage_cost(tiny_run: Path) -> None:
    report = RunReport.read(tiny_run)
    children = [stage for stage in report.stages if stage.peak_mib is not None]
    assert {"layers", "export unet", "calibrate", f"build unet 64 {RTX}"} <= {s.name for s in children}
    assert all(50 < (stage.peak_mib or 0) < 3000 for stage in children)
    assert max(stage.peak_mib or 0 for stage in children) <= report.peak_mib
    assert {stored.dialect for stored in report.weights} == {"ort", "tensorrt"}
    assert all(stored.ratio <= 0.55 for stored in report.weights)
    assert len(report.engines) == 8


def test_a_second_run_does_nothing_and_says_so(
    tiny_model: Path, tiny_run: Path, tiny_options: tuple[str, ...], mixdq_compile: Command
) -> None:
    before = snapshot(tiny_run)
    done = mixdq_compile("run", tiny_model, "--out", tiny_run, *tiny_options)
    assert done.returncode == 0
    plan, end = done.stdout.splitlines()
    assert plan.startswith("plan: uniform W8A8: no search ships for ")
    assert end == f"nothing to do: {tiny_run} is up to date"
    assert snapshot(tiny_run) == before


def test_a_second_run_imports_no_torch(
    tiny_model: Path, tiny_run: Path, tiny_options: tuple[str, ...], mixdq_compile: Command
) -> None:
    done = mixdq_compile(
        "run", tiny_model, "--out", tiny_run, *tiny_options, env={"PYTHONPROFILEIMPORTTIME": "1"}
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "mixdq.compiler.run" in imported
    assert not imported & {"torch", "diffusers", "transformers", "onnx", "tensorrt_rtx"}


def test_another_plan_redoes_the_unet_alone(
    tiny_model: Path, tiny_copy: Path, tiny_options: tuple[str, ...], mixdq_compile: Command
) -> None:
    words = ("run", tiny_model, "--out", tiny_copy, "--weight-bits", 4, *tiny_options)
    assert mixdq_compile(*words).returncode == 0
    assert stages_that_ran(tiny_copy) == {
        "plan",
        "graphs unet ort",
        "graphs unet tensorrt",
        "build unet 64 cpu",
        f"build unet 64 {RTX}",
        "bundle",
    }


def test_one_target_less_leaves_no_files_of_it(
    tiny_model: Path, tiny_copy: Path, mixdq_compile: Command
) -> None:
    words = ("run", tiny_model, "--out", tiny_copy, "--resolution", 64, "--prompt-count", 2)
    assert mixdq_compile(*words).returncode == 0
    assert stages_that_ran(tiny_copy) == {"plan", "bundle"}
    assert {engine.target for engine in Bundle.read(tiny_copy).engines} == {"cpu"}
    assert not list(tiny_copy.glob("engines/*"))
    assert not list(tiny_copy.glob("onnx/tensorrt/*"))


def test_a_damaged_engine_is_built_again(
    tiny_model: Path, tiny_copy: Path, tiny_options: tuple[str, ...], mixdq_compile: Command
) -> None:
    engine = tiny_copy / "engines" / "vae_decoder-64.rtx-sm89.engine"
    whole = engine.stat().st_size
    engine.write_bytes(engine.read_bytes()[:-1] + b"?")
    shown = mixdq_compile("inspect", tiny_copy)
    assert shown.returncode == 2
    assert "vae_decoder-64.rtx-sm89.engine was changed or damaged" in shown.stderr
    assert mixdq_compile("run", tiny_model, "--out", tiny_copy, *tiny_options).returncode == 0
    assert stages_that_ran(tiny_copy) <= {f"build vae_decoder 64 {RTX}", "bundle"}
    assert engine.stat().st_size == whole
    assert mixdq_compile("inspect", tiny_copy).returncode == 0


def test_quantize_then_build_is_a_run(
    tiny_model: Path, tiny_copy: Path, tiny_options: tuple[str, ...], mixdq_compile: Command
) -> None:
    shutil.rmtree(tiny_copy / "engines")
    (tiny_copy / "bundle.json").unlink()
    done = mixdq_compile("quantize", tiny_model, "--out", tiny_copy, *tiny_options)
    assert done.stdout.endswith(f"\nnothing to do: {tiny_copy} is up to date\n")
    assert not (tiny_copy / "bundle.json").exists()
    done = mixdq_compile("build", tiny_copy, "--target", "cpu")
    assert done.returncode == 0, done.stderr
    assert {engine.target for engine in Bundle.read(tiny_copy).engines} == {"cpu"}


def test_two_plans_share_one_work_folder(
    tiny_model: Path, tiny_run: Path, tmp_path: Path, mixdq_compile: Command
) -> None:
    work = shutil.copytree(tiny_run / "work", tmp_path / "work")
    words = ("--resolution", 64, "--prompt-count", 2, "--keep", "conv_in", "--no-bos-aware")
    done = mixdq_compile("run", tiny_model, "--out", tmp_path / "out", "--work", work, *words)
    assert done.returncode == 0, done.stderr
    assert not stages_that_ran(tmp_path / "out") & {"layers", "calibrate", "export unet"}
    plan = PrecisionPlan.read(tmp_path / "out" / "plan.yaml")
    assert str(plan[LayerName("conv_in")]) == "FP16"
    assert not plan.bos_aware


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", ("W8A16 conv_in", "effective bits: weights 8.000", "all digests match", "split shortcuts: 9")),
        ("plan.yaml", ("effective bits: weights 8.000", "W8A16 conv_out")),
        ("ranges.json", ("2 prompts at 64, seed 0", "token 0 reaches")),
        ("layers.json", ("cross-attention", "content", "all")),
        ("onnx/tensorrt/unet-64.onnx", ("BOS: 22 constants, 704 values", "QuantizeLinear")),
    ],
)
def test_inspect_shows(name: str, words: tuple[str, ...], tiny_run: Path, mixdq_compile: Command) -> None:
    done = mixdq_compile("inspect", tiny_run / name, "--timings", env={"COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    for word in words:
        assert word in done.stdout


def test_inspect_with_timings_shows_every_stage(tiny_run: Path, mixdq_compile: Command) -> None:
    done = mixdq_compile("inspect", tiny_run, "--timings", env={"COLUMNS": "200"})
    for stage in RunReport.read(tiny_run).stages:
        assert stage.name in done.stdout
    assert "of FP16's" in done.stdout


def test_layers_as_json_are_the_tables_records(tiny_run: Path, mixdq_compile: Command) -> None:
    done = mixdq_compile("layers", tiny_run, "--json")
    table = LayerTable.read(tiny_run / "layers.json")
    rows = json.loads(done.stdout)["layers"]
    assert [row["name"] for row in rows] == [layer.name for layer in table]
    assert {row["group"] for row in rows} == {"content", "quality"}


def test_layers_as_a_table_end_with_totals(tiny_run: Path, mixdq_compile: Command) -> None:
    done = mixdq_compile("layers", tiny_run, env={"COLUMNS": "200"})
    table = LayerTable.read(tiny_run / "layers.json")
    weights = sum(layer.weights for layer in table)
    last = [line for line in done.stdout.splitlines() if " all " in line][-1]
    assert f"{len(table)}" in last
    assert f"{weights:,}" in last


def test_a_plan_file_gives_the_same_bundle_as_its_options(
    tiny_model: Path, tiny_copy: Path, tiny_options: tuple[str, ...], mixdq_compile: Command
) -> None:
    plan = tiny_copy / "mine.yaml"
    made = mixdq_compile("plan", tiny_copy, "--protect", "conv_in", "--protect", "conv_out", "--out", plan)
    assert made.returncode == 0, made.stderr
    done = mixdq_compile("run", tiny_model, "--out", tiny_copy, "--plan", plan, *tiny_options)
    assert done.stdout == f"plan: {plan}\nnothing to do: {tiny_copy} is up to date\n"
