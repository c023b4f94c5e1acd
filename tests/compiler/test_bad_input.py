"""Bad input through the real command: one clear line, exit code 2, nothing changed or half-written."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file, save_file

from mixdq.compiler.records import STAGES_FILE
from mixdq.configs.bundle import Bundle
from mixdq.configs.layers import LayerTable

Command = Callable[..., subprocess.CompletedProcess[str]]
Change = Callable[[Path], None]


def assert_refused(done: subprocess.CompletedProcess[str], pattern: str) -> None:
    """The last line of stderr is the one error; the lines of finished stages may stand before it."""
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(pattern, errors[0]), errors[0]


def half_written(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.part"))


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (("--target", "gpu"), r"unknown target 'gpu'; use one of: cpu, tensorrt, rtx:sm75"),
        (("--target", "rtx:sm90"), r"no compute capability 'sm90' here; the nearest is rtx:sm89"),
        (("--resolution", 100), r"resolution 100 is not a multiple of 32.*the nearest are 96 and 128"),
        (("--batch", 0), r"batch 0 is out of bounds; use 1 to 32"),
        (("--weight-bits", 9), r"9 is no weight width: use 2 to 8 bits, or 16"),
        (("--activation-bits", 4), r"cpu can't hold W8A4.*choose --activation-bits 8 or 16"),
        (("--weight-bits", 16), r"W16A8 is no precision"),
        (("--jobs", 0), r"--jobs 0 is too few"),
        (("--prompts", "no/such/file"), r"could not read the prompts no/such/file"),
        (("--prompt-count", 100_000), r"holds \d+ prompts, and 100000 were asked for"),
        (("--protect", "conv_in", "--no-protect"), r"exclude each other"),
        (("--plan", "no/plan.yaml"), r"no/plan.yaml does not exist"),
        (("--ranges", "no/ranges.json"), r"no/ranges.json does not exist"),
        (("--ranges", "no/ranges.json", "--seed", 0), r"--ranges excludes --prompts, .*--seed"),
        (("--weights", "no-such-folder/"), r"there is no model 'no-such-folder/'"),
        (("--weights", "synthetic:x"), r"'synthetic:x' names no seed"),
        (("--lora", "no.safetensors:0.5"), r"there is no LoRA 'no\.safetensors:0\.5'"),
        (("--vae-precision", "float16"), r"needs an FP16-safe VAE.*--vae"),
        (("--scheduler", "ddim"), r"there is no scheduler 'ddim'; choose euler_ancestral"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(
    words: tuple[object, ...], pattern: str, tiny_model: Path, tmp_path: Path, mixdq_compile: Command
) -> None:
    out = tmp_path / "out"
    assert_refused(mixdq_compile("run", tiny_model, "--out", out, *words), pattern)
    assert not out.exists()


@pytest.mark.parametrize("target", ["rtx:sm89", "tensorrt", "cpu"])
def test_a_target_whose_builder_is_not_installed_names_what_to_install(
    target: str, tiny_model: Path, tmp_path: Path, mixdq_compile: Command
) -> None:
    hidden = ("tensorrt_rtx", "tensorrt", "onnxruntime")
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(
            f"""
            from importlib.machinery import PathFinder
            find = PathFinder.find_spec
            PathFinder.find_spec = lambda name, path=None, target=None: (
                None if name in {hidden!r} else find(name, path, target)
            )
            """
        )
    )
    words = ("run", tiny_model, "--out", tmp_path / "out", "--target", target)
    done = mixdq_compile(*words, env={"PYTHONPATH": str(tmp_path)})
    what = {"cpu": "mixdq", "tensorrt": r"'mixdq\[tensorrt\]'", "rtx:sm89": r"'mixdq\[rtx\]'"}[target]
    assert_refused(done, rf"target {target} needs .*not installed; install it with `pip install {what}`")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_at_work_is_refused(
    tiny_model: Path, tiny_copy: Path, tiny_options: tuple[str, ...], mixdq_compile: Command
) -> None:
    import fcntl

    with (tiny_copy / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = mixdq_compile("run", tiny_model, "--out", tiny_copy, *tiny_options)
    assert_refused(done, r"another mixdq process is at work in .*; wait until it is done")


def test_work_must_not_be_around_the_bundle(tiny_model: Path, tmp_path: Path, mixdq_compile: Command) -> None:
    done = mixdq_compile("run", tiny_model, "--out", tmp_path / "out", "--work", tmp_path)
    assert_refused(done, r"--work .* must be another folder than --out")


# Models.


def remove_weights(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()


def truncate_weights(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def other_pipeline(folder: Path) -> None:
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')


def no_pipeline(folder: Path) -> None:
    (folder / "model_index.json").unlink()


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (remove_weights, r"unet has no weights: expected diffusion_pytorch_model\.safetensors"),
        (truncate_weights, r"truncated or damaged.*download it again"),
        (other_pipeline, r"holds a FluxPipeline, not a StableDiffusionXLPipeline"),
        (no_pipeline, r"model_index\.json is missing"),
    ],
)
def test_a_broken_model_is_refused_before_anything_is_written(
    change: Change, pattern: str, tiny_model: Path, tmp_path: Path, mixdq_compile: Command
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    change(model)
    assert_refused(mixdq_compile("run", model, "--out", tmp_path / "out"), pattern)
    assert not (tmp_path / "out").exists()


def test_weights_that_do_not_fit_are_refused_before_the_long_work(
    tiny_model: Path, tmp_path: Path, mixdq_compile: Command
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    path = model / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    del tensors["conv_out.bias"]
    tensors["conv_out.weight"] = tensors["conv_out.weight"][:1]
    save_file({**tensors, "conv_on.bias": np.zeros(1)}, path, metadata={"format": "pt"})
    done = mixdq_compile("run", model, "--out", tmp_path / "out", "--resolution", 64)
    wrong = r"conv_out\.weight \[1, 32, 3, 3\] instead of \[4, 32, 3, 3\] \(1 in all\)"
    assert_refused(
        done,
        r"the unet in .*unet/diffusion_pytorch_model\.safetensors does not fit .*unet/config\.json: "
        r"missing conv_out\.bias \(1 in all\); "
        rf"unknown conv_on\.bias \(1 in all\); wrongly shaped {wrong}",
    )
    assert "calibrate" not in done.stderr
    assert "export" not in done.stderr


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        (np.nan, r"holds NaN or infinity in conv_in\.bias"),
        (1e5, r"holds conv_in\.bias as float32 with values up to 100000, beyond the 65504 that float16"),
    ],
)
def test_weights_that_no_engine_can_hold_are_refused_by_name(
    value: float, pattern: str, tiny_model: Path, tiny_run: Path, tmp_path: Path, mixdq_compile: Command
) -> None:
    """The folder of a run on the same configurations spares the exports."""
    shutil.copytree(tiny_run / "work", tmp_path / "out" / "work")
    model = shutil.copytree(tiny_model, tmp_path / "model")
    path = model / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["conv_in.bias"] = tensors["conv_in.bias"].astype(np.float32)
    tensors["conv_in.bias"][0] = value
    save_file(tensors, path, metadata={"format": "pt"})
    done = mixdq_compile("run", model, "--out", tmp_path / "out", "--resolution", 64, "--prompt-count", 2)
    assert_refused(done, pattern)
    assert half_written(tmp_path) == []
    assert not (tmp_path / "out" / "bundle.json").exists()


# Plans and ranges. The layers are known already, so no torch is needed.


def drop_layer(folder: Path) -> None:
    edit_plan(folder, lambda text: re.sub(r"\n  conv_in: \S+", "", text))


def add_layer(folder: Path) -> None:
    edit_plan(folder, lambda text: text.replace("\n  conv_in:", "\n  conv_on: W8A8\n  conv_in:"))


def repeat_layer(folder: Path) -> None:
    edit_plan(folder, lambda text: text.replace("\n  conv_in:", "\n  conv_in: W8A8\n  conv_in:"))


def other_architecture(folder: Path) -> None:
    edit_plan(folder, lambda text: re.sub(r"layers_digest: \S+", f"layers_digest: '{'0' * 64}'", text))


def other_weights(folder: Path) -> None:
    edit_plan(folder, lambda text: re.sub(r"model_digest: \S+", f"model_digest: '{'0' * 64}'", text))


def four_bit_activation(folder: Path) -> None:
    edit_plan(
        folder,
        lambda text: re.sub(
            r"\n  mid_block.resnets.0.conv1: \S+", "\n  mid_block.resnets.0.conv1: W8A4", text
        ),
    )


def edit_plan(folder: Path, change: Callable[[str], str]) -> None:
    path = folder / "mine.yaml"
    before = (folder / "plan.yaml").read_text()
    after = change(before)
    assert after != before
    path.write_text(after)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (drop_layer, r"the plan has no entry for conv_in of tiny"),
        (add_layer, r"the plan names conv_on, which tiny does not have"),
        (repeat_layer, r"mine\.yaml is not valid YAML: .*'conv_in' occurs twice"),
        (other_architecture, r"the plan was made for another architecture"),
        (other_weights, r"the plan was searched on other weights"),
        (four_bit_activation, r"cpu can't hold W8A4 of mid_block\.resnets\.0\.conv1"),
    ],
)
def test_a_wrong_plan_is_refused_and_the_bundle_stays(
    change: Change,
    pattern: str,
    tiny_model: Path,
    tiny_copy: Path,
    tiny_options: tuple[str, ...],
    mixdq_compile: Command,
) -> None:
    change(tiny_copy)
    words = ("run", tiny_model, "--out", tiny_copy, "--plan", tiny_copy / "mine.yaml", *tiny_options)
    assert_refused(mixdq_compile(*words), pattern)
    Bundle.read(tiny_copy)


def test_an_unknown_layer_to_keep_is_refused_and_the_bundle_stays(
    tiny_model: Path, tiny_copy: Path, tiny_options: tuple[str, ...], mixdq_compile: Command
) -> None:
    words = ("run", tiny_model, "--out", tiny_copy, "--keep", "conv_on", *tiny_options)
    assert_refused(mixdq_compile(*words), r"conv_on: no such layer in tiny; `mixdq-compile layers tiny`")
    Bundle.read(tiny_copy)


def test_ranges_of_another_model_are_refused(
    tiny_model: Path, tiny_copy: Path, tiny_options: tuple[str, ...], mixdq_compile: Command
) -> None:
    table = LayerTable.read(tiny_copy / "layers.json")
    text = (tiny_copy / "ranges.json").read_text().replace(table.model.digest, "0" * 64)
    (tiny_copy / "mine.json").write_text(text)
    count = tiny_options.index("--prompt-count")
    options = (*tiny_options[:count], *tiny_options[count + 2 :])
    words = ("run", tiny_model, "--out", tiny_copy, "--ranges", tiny_copy / "mine.json", *options)
    assert_refused(mixdq_compile(*words), r"the ranges were measured on tiny \(000000000000\), not on tiny")


def test_build_needs_a_folder_that_quantize_began(tmp_path: Path, mixdq_compile: Command) -> None:
    assert_refused(mixdq_compile("build", tmp_path), r"holds no recipe\.json.*`mixdq-compile quantize MODEL")


def test_inspect_refuses_what_mixdq_did_not_write(tmp_path: Path, mixdq_compile: Command) -> None:
    (tmp_path / "graph.onnx").write_bytes(b"no graph")
    (tmp_path / "other.json").write_text(json.dumps({"a": 1}))
    assert_refused(mixdq_compile("inspect", tmp_path / "graph.onnx"), r"is no ONNX graph that can be read")
    assert_refused(mixdq_compile("inspect", tmp_path / "other.json"), r"is no file that mixdq writes")
    assert_refused(mixdq_compile("inspect", tmp_path), r"holds neither bundle\.json nor plan\.yaml")


def test_inspect_refuses_a_bundle_whose_plan_was_changed(tiny_copy: Path, mixdq_compile: Command) -> None:
    drop_layer(tiny_copy)
    (tiny_copy / "mine.yaml").replace(tiny_copy / "plan.yaml")
    assert_refused(mixdq_compile("inspect", tiny_copy), r"plan\.yaml was changed after the bundle was built")


# A full disk: writes beyond a size fail as they do on a full one. Each limit lies below the size of one
# stage's file and above those of the stages after it.


@pytest.mark.parametrize(
    ("undone", "limit", "file"),
    [
        ("export vae_decoder", 100_000, r"vae_decoder\.(onnx|weights)"),
        ("graphs unet ort", 800_000, r"unet\.weights|unet-64\.onnx"),
        ("build vae_decoder 64 rtx:sm89", 2_000_000, r"vae_decoder-64\.rtx-sm89\.engine"),
    ],
)
def test_a_full_disk_leaves_nothing_half_written_and_the_next_run_resumes(
    undone: str,
    limit: int,
    file: str,
    tiny_model: Path,
    tiny_copy: Path,
    tiny_options: tuple[str, ...],
    mixdq_compile: Command,
) -> None:
    forget(tiny_copy, undone)
    words = ("run", tiny_model, "--out", tiny_copy, *tiny_options)
    done = mixdq_compile(
        *words, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    )
    assert_refused(done, rf"could not write .*({file}): File too large; nothing was changed there")
    assert half_written(tiny_copy) == []
    assert_whole_or_absent(tiny_copy)
    done = mixdq_compile(*words)
    assert done.returncode == 0, done.stderr
    assert undone in done.stderr
    assert_whole_or_absent(tiny_copy)
    Bundle.read(tiny_copy)


def test_ctrl_c_in_every_kind_of_stage_leaves_nothing_half_written_and_the_next_run_resumes(
    tiny_model: Path,
    tiny_run: Path,
    tmp_path: Path,
    tiny_options: tuple[str, ...],
    start_mixdq_compile: Callable[..., subprocess.Popen[str]],
    mixdq_compile: Command,
) -> None:
    undone = ("layers", "export unet", "calibrate", "build unet 64 rtx:sm89", "graphs unet ort")
    for stage in undone:
        out = Path(shutil.copytree(tiny_run, tmp_path / stage))
        forget(out, stage)
        process = start_mixdq_compile("run", tiny_model, "--out", out, *tiny_options)
        wait_for_child(process)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate()
        assert process.returncode == 130, errors
        assert "error: interrupted" in errors
        assert stage not in errors
        assert half_written(out) == []
        assert_whole_or_absent(out)
    done = mixdq_compile("run", tiny_model, "--out", out, *tiny_options)
    assert done.returncode == 0, done.stderr
    assert undone[-1] in done.stderr
    assert "export" not in done.stderr
    assert_whole_or_absent(out)
    Bundle.read(out)


def wait_for_child(process: subprocess.Popen[str]) -> None:
    """Waits until a child process has begun to work, a minute at most."""
    for _ in range(1200):
        if any(child.cpu_times().user > 0.2 for child in psutil.Process(process.pid).children()):
            return
        time.sleep(0.05)
    raise AssertionError("no stage began")


def assert_whole_or_absent(root: Path) -> None:
    """If there is a bundle, every file of it is the one that was built."""
    if (root / "bundle.json").exists():
        for engine in Bundle.read(root).engines:
            for file in (engine.file, *engine.weights):
                file.check(root)


def forget(root: Path, name: str) -> None:
    """Makes one stage undone, as if a run had ended before it."""
    for folder in (root, root / "work"):
        path = folder / STAGES_FILE
        document = json.loads(path.read_text())
        gone = [stage for stage in document["stages"] if stage["name"] == name]
        document["stages"] = [stage for stage in document["stages"] if stage["name"] != name]
        path.write_text(json.dumps(document))
        for stage in gone:
            for file in stage["files"]:
                (folder / file["path"]).unlink()
