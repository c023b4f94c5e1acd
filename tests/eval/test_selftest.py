from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.console import run_app
from mixdq.configs.files import sha256_of_file
from mixdq.configs.gpu import find_gpu
from mixdq.eval.cli import app
from mixdq.eval.selftest_report import EngineFigures, PictureFigures, TargetFigures
from mixdq.eval.selftest_run import Seen, compare_engines
from mixdq.runtime.images import to_pixels

SwapEngine = Callable[[Component, str], None]
Run = Callable[..., tuple[int, str, str]]

no_gpu = pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")


def _vae(expression: str) -> str:
    return f"""<ir_version: 10, opset_import: ["" : 20]>
    vae (float[2,4,2,2] latents) => (float[2,3,16,16] images)
    <int64[3] rgb = {{0, 1, 2}}, float zero = {{0.0}}, float[4] scales = {{1.0, 1.0, 8.0, 8.0}}> {{
        channels = Gather <axis=1> (latents, rgb)
        changed = {expression}
        images = Resize <mode="nearest"> (changed, "", scales)
    }}"""


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Exit code, output and errors of `mixdq-eval selftest`."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(root: Path, *options: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run_app(app, ["selftest", str(root), "--rounds", "1", *options])
        captured = capfd.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def _retarget(root: Path, target: str, *, keep: bool) -> None:
    """Names the engines as another target's; or adds such engines to those that are there."""
    bundle = Bundle.read(root)
    others = tuple(replace(engine, target=target) for engine in bundle.engines)
    replace(bundle, engines=(bundle.engines if keep else ()) + others).write(root)


def test_a_bundle_for_the_cpu_passes_at_every_resolution(tiny_bundle: Path, run: Run) -> None:
    code, output, error = run(tiny_bundle, "--prompt", "abc")
    assert (code, error) == (0, "")
    assert "cpu on cpu" in output
    report = json.loads((tiny_bundle / "selftest.json").read_text())
    assert (report["model_digest"], report["plan_digest"]) == ("0" * 64, "1" * 64)
    assert report["bundle_sha256"] == sha256_of_file(tiny_bundle / "bundle.json")
    result = report["results"][0]
    assert (result["target"], result["outcome"], result["reason"]) == ("cpu", "passed", "")
    figures = result["figures"]
    assert [(engine["component"], engine["resolution"]) for engine in figures["engines"]] == [
        ("text_encoder", None),
        ("text_encoder_2", None),
        ("unet", 16),
        ("vae_decoder", 16),
        ("unet", 24),
        ("vae_decoder", 24),
    ]
    assert [picture["resolution"] for picture in figures["pictures"]] == [16, 24]
    assert figures["files"] == 6
    assert figures["host_mib"] > 10
    assert figures["gpu_mib"] is None


def test_the_figures_go_where_they_are_asked_for(tiny_bundle: Path, tmp_path: Path, run: Run) -> None:
    assert run(tiny_bundle, "--json", str(tmp_path / "figures.json"))[0] == 0
    assert not (tiny_bundle / "selftest.json").exists()
    assert json.loads((tmp_path / "figures.json").read_text())["model"] == "tiny"


def test_a_black_picture_fails(tiny_bundle: Path, swap_engine: SwapEngine, run: Run) -> None:
    swap_engine(Component.VAE_DECODER, _vae("Mul (channels, zero)"))
    code, output, _ = run(tiny_bundle)
    assert code == 1
    assert "failed: the picture of 16 pixels is of one colour" in output
    assert "24 pixels" not in output.partition("failed:")[2]


def test_numbers_that_are_not_finite_fail(tiny_bundle: Path, swap_engine: SwapEngine, run: Run) -> None:
    swap_engine(Component.VAE_DECODER, _vae("Div (channels, zero)"))
    code, output, _ = run(tiny_bundle)
    assert code == 1
    assert "failed: the vae_decoder engine gave values in images that are not finite" in output


def test_a_damaged_file_fails(tiny_bundle: Path, run: Run) -> None:
    path = tiny_bundle / "unet-24.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    code, output, _ = run(tiny_bundle)
    assert code == 1
    assert "unet-24.onnx was changed or damaged" in output


@no_gpu
def test_what_cannot_run_here_is_listed_with_its_reason_and_the_rest_is_tested(
    tiny_bundle: Path, run: Run
) -> None:
    _retarget(tiny_bundle, "rtx:sm89", keep=True)
    code, output, _ = run(tiny_bundle)
    assert code == 0
    assert "rtx:sm89 not run: rtx:sm89 engines run on an NVIDIA GPU, and this machine has none" in output
    assert "cpu on cuda not run: device cuda needs an NVIDIA GPU" in output
    outcomes = [
        found["outcome"] for found in json.loads((tiny_bundle / "selftest.json").read_text())["results"]
    ]
    assert outcomes == ["passed", "not run", "not run"]


@no_gpu
def test_a_bundle_of_which_nothing_can_run_is_one_line_and_exit_code_2(tiny_bundle: Path, run: Run) -> None:
    _retarget(tiny_bundle, "tensorrt", keep=False)
    code, _, error = run(tiny_bundle)
    assert code == 2
    assert error.startswith("error: nothing of ")
    assert "tensorrt engines run on an NVIDIA GPU" in error
    assert error.count("\n") == 1
    assert not (tiny_bundle / "selftest.json").exists()


def test_a_target_that_was_not_built_is_refused(tiny_bundle: Path, run: Run) -> None:
    code, _, error = run(tiny_bundle, "--target", "rtx:sm120")
    assert (code, error.count("\n")) == (2, 1)
    assert "was built for cpu, not for rtx:sm120" in error


def test_engines_are_compared_with_onnx_runtime_on_the_same_inputs(tiny_bundle: Path) -> None:
    latents = np.random.default_rng(0).standard_normal((2, 4, 2, 2)).astype(np.float16)
    # The VAE of the tiny bundle: 0.05 times the first three channels, each pixel eight times as large.
    right = (0.05 * latents[:, :3].astype(np.float64)).repeat(8, axis=2).repeat(8, axis=3)
    place = (Component.VAE_DECODER, 16)
    found = [
        compare_engines(_silent, tiny_bundle, {place: Seen({"latents": latents}, {"images": images})})[place]
        for images in (right, 1.1 * right, -right)
    ]
    assert found[0] > 110
    assert found[1:] == pytest.approx([20.0, -20 * np.log10(2)], abs=1e-3)


def test_pictures_of_8_bits_are_compared_with_what_the_numbers_make(tiny_bundle: Path) -> None:
    latents = (6 * np.random.default_rng(0).standard_normal((2, 4, 2, 2))).astype(np.float16)
    numbers = (0.05 * latents[:, :3].astype(np.float32)).repeat(8, axis=2).repeat(8, axis=3)
    pixels, place = to_pixels(numbers), (Component.VAE_DECODER, 16)
    found = [
        compare_engines(
            _silent,
            tiny_bundle,
            {place: Seen({"latents": latents}, {"images": images, "finite": np.array([True, True])})},
        )[place]
        for images in (pixels, 255 - pixels)
    ]
    assert found[0] > 35
    assert found[1] == pytest.approx(-20 * np.log10(2), abs=0.1)


def test_outputs_that_should_be_all_zero_have_a_ratio_that_json_can_hold(tiny_bundle: Path) -> None:
    latents, place = np.zeros((2, 4, 2, 2), np.float16), (Component.VAE_DECODER, 16)
    found = [
        compare_engines(_silent, tiny_bundle, {place: Seen({"latents": latents}, {"images": images})})[place]
        for images in (np.zeros((2, 3, 16, 16)), np.ones((2, 3, 16, 16)))
    ]
    assert found == [200.0, -200.0]


def test_engines_that_agree_too_little_are_faults() -> None:
    engines = tuple(EngineFigures(Component.UNET, 512, 1.0, db) for db in (5.9, 6.1, None))
    pictures = (PictureFigures(512, 1.0, deviation=30.0, psnr_db=None),)
    faults = TargetFigures(3, engines, pictures, host_mib=1.0, gpu_mib=1.0).faults()
    assert faults == "unet at 512 pixels agrees with ONNX Runtime to 5.9 dB only, expected 6"


def _silent(phase: str, done: int, total: int | None) -> None:
    pass


def test_a_machine_that_only_makes_pictures_can_run_it() -> None:
    program = (
        "import sys\nimport mixdq.eval.selftest\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'onnx', 'onnx_ir', 'onnxscript', 'skimage'}\n"
        "found = heavy & {name.partition('.')[0] for name in sys.modules}\n"
        "sys.exit(f'imported {found}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
