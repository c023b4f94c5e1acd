"""`mixdq-eval compare` and `reduce`, on graphs of emoji-turbo: sound ones, and with one wrong constant."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from polygraphy.comparator import RunResults
from polygraphy.comparator.struct import AccuracyResults
from polygraphy.json import load_json

from mixdq.configs.bundle import Bundle
from mixdq.configs.console import run_app
from mixdq.configs.gpu import find_gpu
from mixdq.eval.cli import app
from mixdq.eval.compare.report import CompareReport, Verdict

Run = Callable[..., tuple[int, str, str]]
ChangeConstant = Callable[..., Path]

VICTIM = "mid_block.resnets.0.conv1"
BLOCK = "mid_block.resnets.0"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Exit code, output and errors of a command of `mixdq-eval`."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run_app(app, [str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def broken(both_dialects: Path, tmp_path: Path, change_constant: ChangeConstant) -> Path:
    """A bundle in whose graph for ONNX Runtime one layer's weight scales are three times as large."""
    root = tmp_path / "bundle"
    shutil.copytree(both_dialects, root)
    graph = root / "onnx" / "ort" / "unet-128.onnx"
    change_constant(graph, f"{VICTIM}.weight.scale", lambda scale: scale * np.float32(3), graph)
    return root


def with_cuda(root: Path, *, alone: bool) -> None:
    """Adds what bundle.json says of packages of the CUDA back end, or has it say nothing else."""
    bundle = Bundle.read(root)
    packages = tuple(
        replace(engine, target="cuda:sm90", built_for="NVIDIA H200", builder="torch 2.11.0")
        for engine in bundle.engines
        if engine.target == "cpu"
    )
    replace(bundle, engines=packages if alone else (*bundle.engines, *packages)).write(root)


def test_packages_of_the_cuda_back_end_are_left_out_with_a_line_that_says_so(
    both_dialects: Path, tmp_path: Path, run: Run
) -> None:
    root = tmp_path / "bundle"
    shutil.copytree(both_dialects, root)
    with_cuda(root, alone=False)
    code, output, _ = run(
        "compare", root, "--out", tmp_path / "out", "--target", "cpu", "--target", "cuda:sm90"
    )
    assert code == 0
    cuda = CompareReport.read(tmp_path / "out").runs[-1]
    assert (cuda.name, cuda.verdict) == ("cuda:sm90", Verdict.NOT_RUN)
    assert "Polygraphy has no runner for packages of the CUDA back end; `mixdq-eval cuda-agreement" in output


def test_a_bundle_of_packages_alone_is_refused_with_the_command_that_compares_it(
    both_dialects: Path, tmp_path: Path, run: Run
) -> None:
    root = tmp_path / "bundle"
    shutil.copytree(both_dialects, root)
    with_cuda(root, alone=True)
    code, _, error = run("compare", root, "--out", tmp_path / "out")
    assert code == 2
    assert "cuda:sm90: Polygraphy has no runner" in error
    assert "mixdq-eval cuda-agreement" in error


def test_back_ends_are_compared_by_block_and_a_wrong_scale_is_outside_from_its_block_on(
    broken: Path, tmp_path: Path, run: Run
) -> None:
    code, output, error = run("compare", broken, "--out", tmp_path / "out", "--prompt", "rocket")
    assert (code, error) == (1, "")
    found = CompareReport.read(tmp_path / "out")
    full, ort, tensorrt, rtx = found.runs
    assert (full.verdict, ort.verdict, tensorrt.verdict) == (Verdict.WITHIN, Verdict.OUTSIDE, Verdict.WITHIN)
    assert ort.outside[0] == BLOCK
    assert f"the first is {BLOCK}; `mixdq-eval reduce` names the layer" in output
    assert (ort.as_built, tensorrt.as_built) == (False, None)
    assert "unet-128.onnx, or its weights, are not the files that the bundle records" in output
    before = list(ort.outputs)[: list(ort.outputs).index(BLOCK)]
    assert len(before) > 10
    assert all(ort.outputs[name].within for name in before)
    if find_gpu() is None:
        assert rtx.verdict is Verdict.NOT_RUN
        assert "rtx:sm89 not run: rtx:sm89 engines run on an NVIDIA GPU" in output
    _check_polygraphy_s_files(tmp_path / "out", found)


def _check_polygraphy_s_files(out: Path, found: CompareReport) -> None:
    folder = out / "polygraphy"
    assert found.files == {path.relative_to(out).as_posix(): path.stat().st_size for path in folder.iterdir()}
    assert load_json(str(folder / "inputs.json"))[0]["sample"].shape == (1, 4, 16, 16)
    runs = {name: RunResults.load(str(folder / f"{name}.json")) for name in ("torch-ort", "onnxruntime-ort")}
    ours, theirs = (next(iter(results.values()))[0] for results in (*runs.values(),))
    # Only the output and the blocks outside are saved.
    assert set(ours) == set(theirs)
    assert f"block.{BLOCK}" in ours
    assert "block.down_blocks.0.resnets.0" not in ours
    compared = AccuracyResults.load(str(folder / "comparison.json"))
    pairs = {pair: result[pair][0] for result in compared for pair in result}
    ort = found.runs[1]
    for expected, ratios in (
        ("torch ort", {name: block.simulation_db for name, block in ort.outputs.items()}),
        ("onnxruntime full", {name: block.full_db for name, block in ort.outputs.items()}),
    ):
        snr = pairs[expected, "onnxruntime ort"]
        assert snr["noise_prediction"].snr == pytest.approx(ratios[""], abs=1e-3)
        assert snr[f"block.{BLOCK}"].snr == pytest.approx(ratios[BLOCK], abs=1e-3)
        assert not snr[f"block.{BLOCK}"]
    assert pairs["torch tensorrt", "onnxruntime tensorrt"]["noise_prediction"]


def test_a_wrong_scale_is_reduced_to_exactly_its_layer_which_polygraphy_shows_by_itself(
    both_dialects: Path, tmp_path: Path, change_constant: ChangeConstant, run: Run
) -> None:
    graph = both_dialects / "onnx" / "ort" / "unet-128.onnx"
    name = f"{VICTIM}.input.scale"
    bad = change_constant(graph, name, lambda scale: scale * np.float32(3), tmp_path / "bad.onnx")
    code, output, error = run("reduce", bad, "--bundle", both_dialects, "--out", tmp_path / "out")
    assert (code, error) == (1, "")
    searched = json.loads((tmp_path / "out" / "reduce.json").read_text())["graphs"][0]["found"]
    assert len(searched["layers"]) == 264
    assert [guilty["name"] for guilty in searched["guilty"]] == [VICTIM]
    assert f"{VICTIM}: the scale of its input is " in output
    assert "(times 3)" in output
    folder = tmp_path / "out" / "ort" / VICTIM
    assert (folder / "model.onnx").stat().st_size < 10 * 160 * 160 * 9
    shown = _run_polygraphy(folder)
    assert shown.returncode == 1
    assert "(min required: 90 dB) | FAILED" in shown.stdout


def _run_polygraphy(folder: Path) -> subprocess.CompletedProcess[str]:
    """The command of a layer's README."""
    command = (folder / "README.md").read_text().strip().splitlines()[-1].split()
    assert command[0] == "polygraphy"
    program = [str(Path(sys.executable).with_name("polygraphy")), *command[1:]]
    return subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)


def test_a_sound_bundle_has_no_guilty_layer(emoji_w8a8: Path, tmp_path: Path, run: Run) -> None:
    code, output, error = run("reduce", emoji_w8a8, "--out", tmp_path / "out")
    assert (code, error) == (0, "")
    assert "264 layers, none guilty" in output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["reduce.json"]


@pytest.mark.parametrize("command", ["compare", "reduce"])
def test_a_folder_without_a_bundle_is_one_line_and_exit_code_2(
    tmp_path: Path, run: Run, command: str
) -> None:
    code, _, error = run(command, tmp_path, "--out", tmp_path / "out")
    assert (code, error.count("\n")) == (2, 1)
    assert "holds no readable bundle" in error
    assert not (tmp_path / "out").exists()


def test_what_the_bundle_was_not_built_for_is_refused(emoji_w8a8: Path, tmp_path: Path, run: Run) -> None:
    code, _, error = run("compare", emoji_w8a8, "--out", tmp_path, "--resolution", "512")
    assert (code, error.count("\n")) == (2, 1)
    assert "was built for 128, 192 pixels, not for 512" in error
    code, _, error = run("compare", emoji_w8a8, "--out", tmp_path, "--target", "tensorrt")
    assert (code, error.count("\n")) == (2, 1)
    assert "was built for cpu, not for tensorrt" in error


def test_a_bundle_whose_export_is_gone_is_refused(emoji_w8a8: Path, tmp_path: Path, run: Run) -> None:
    root = tmp_path / "bundle"
    shutil.copytree(emoji_w8a8, root)
    recipe = json.loads((root / "recipe.json").read_text())
    (root / "recipe.json").write_text(json.dumps({**recipe, "work": "gone"}))
    code, _, error = run("compare", root, "--out", tmp_path / "out")
    assert (code, error.count("\n")) == (2, 1)
    assert "is gone, which full precision is computed from; run `mixdq-compile run` again" in error


def test_another_model_is_refused(emoji_w8a8: Path, model_copy: Path, tmp_path: Path, run: Run) -> None:
    config = model_copy / "scheduler" / "scheduler_config.json"
    changed = {**json.loads(config.read_text()), "beta_end": 0.013}
    config.unlink()
    config.write_text(json.dumps(changed))
    code, _, error = run("reduce", emoji_w8a8, "--out", tmp_path, "--model", model_copy)
    assert (code, error.count("\n")) == (2, 1)
    assert "give --model the model that it came from" in error


def test_files_that_are_no_unet_graph_are_refused(emoji_w8a8: Path, tmp_path: Path, run: Run) -> None:
    text = tmp_path / "no.onnx"
    text.write_text("no graph")
    vae = emoji_w8a8 / "onnx" / "ort" / "vae_decoder-128.onnx"
    stray = tmp_path / "stray.onnx"
    shutil.copy(emoji_w8a8 / "onnx" / "ort" / "unet-128.onnx", stray)
    for path, reason in (
        (text, "is no ONNX graph that can be read"),
        (vae, "no UNet graph of ours"),
        (stray, "lies in no bundle; give --bundle"),
    ):
        code, _, error = run("reduce", path, "--out", tmp_path / "out")
        assert (code, error.count("\n")) == (2, 1)
        assert reason in error
