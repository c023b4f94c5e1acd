"""What a command may ask for: folders apart, seeds in bounds, prompts whole, one meaning of a name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.cli_show import show
from mixdq.compiler.options import calibration_of, choice_of, ranges_of
from mixdq.compiler.progress import SilentWatch
from mixdq.compiler.recipe import LARGEST_SEED, Calibration, Recipe, Uniform
from mixdq.compiler.run import run
from mixdq.configs.console import run_app
from mixdq.configs.errors import ModelError, RequestError
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.precision import FP16
from mixdq.configs.target import Layout, Target
from mixdq.export.source import SourceModel, open_architecture

Command = Callable[..., CompletedProcess[str]]


def assert_refused(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command that shows things ends with one line of error and exit code 2."""
    with pytest.raises(SystemExit) as ended:
        run_app(show, words)
    assert ended.value.code == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert expected in errors


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("mymodel/", "there is no model 'mymodel/'"),
        ("foo bar/baz", "there is no model 'foo bar/baz'"),
        ("x" * 300, "too long"),
    ],
)
@pytest.mark.parametrize("command", [["layers"], ["plan", "--out", "plan.yaml"]])
def test_a_model_that_can_be_none_is_refused_by_every_command(
    command: list[str],
    model: str,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused([*command, model], expected, capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def other_layers() -> dict[str, Any]:
    """A layer table that is none of emoji-turbo's: one layer of a model named `mine`."""
    layer = {
        "name": "conv_in",
        "kind": "convolution",
        "weight_shape": [8, 4, 3, 3],
        "has_bias": True,
        "split": None,
        "macs": {"64": 18432},
    }
    return {"model": {"name": "mine", "digest": "0" * 64}, "layers": [layer], "version": 1}


def test_a_shipped_models_name_means_it_even_beside_a_folder_of_that_name(
    other_layers: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mixdq_compile: Command
) -> None:
    (tmp_path / "emoji-turbo").mkdir()
    (tmp_path / "emoji-turbo" / "layers.json").write_text(json.dumps(other_layers))
    monkeypatch.chdir(tmp_path)
    shipped = json.loads(mixdq_compile("layers", "emoji-turbo", "--json").stdout)
    folder = json.loads(mixdq_compile("layers", "./emoji-turbo", "--json").stdout)
    assert (shipped["model"], len(shipped["layers"])) == ("emoji-turbo", 264)
    assert (folder["model"], len(folder["layers"])) == ("mine", 1)


def test_the_layers_of_sdxl_turbo_are_listed_without_its_weights(mixdq_compile: Command) -> None:
    done = mixdq_compile("layers", "sdxl-turbo", env={"HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "794 layers: 51 convolution, 743 linear; 420 content, 374 quality; 2,565,880,320 weights"
    )


# Calibration.


@pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1, 99999999999999999999])
def test_a_seed_out_of_bounds_is_refused(seed: int, emoji: SourceModel) -> None:
    with pytest.raises(RequestError, match=rf"seed {seed} is out of bounds; use 0 to 2147483647"):
        calibration_of(emoji, None, None, seed, None, None)


@pytest.mark.parametrize("seed", [0, LARGEST_SEED])
def test_the_seeds_at_the_bounds_are_taken(seed: int) -> None:
    assert Calibration(("a cat",), seed).seed == seed


def test_a_file_of_prompts_is_used_whole_or_as_much_of_it_as_was_asked_for(
    tmp_path: Path, emoji: SourceModel
) -> None:
    file = tmp_path / "prompts.txt"
    prompts = tuple(f"prompt {number}" for number in range(100))
    file.write_text("\n".join(prompts))
    assert calibration_of(emoji, file, None, 0, None, None).prompts == prompts
    assert calibration_of(emoji, file, 70, 0, None, None).prompts == prompts[:70]
    with pytest.raises(ModelError, match="holds 100 prompts, and 101 were asked for"):
        calibration_of(emoji, file, 101, 0, None, None)


def test_without_a_file_the_prompts_are_the_presets(emoji: SourceModel, model_copy: Path) -> None:
    another = open_architecture(ModelChoice(str(model_copy)))
    assert len(calibration_of(emoji, None, None, 0, None, None).prompts) == 64
    assert len(calibration_of(another, None, None, 0, None, None).prompts) == 32


@pytest.mark.parametrize(
    ("scheduler", "steps"), [(None, 1), ("euler_ancestral", 1), ("lcm", 4), ("euler", 8)]
)
def test_a_sampler_is_calibrated_over_its_usual_steps(scheduler: str | None, steps: int) -> None:
    source = open_architecture(ModelChoice("emoji-turbo", scheduler=scheduler))
    assert calibration_of(source, None, None, None, None, None).steps == steps
    assert calibration_of(source, None, None, None, None, 2).steps == 2


@pytest.mark.parametrize("steps", [0, 51])
def test_steps_out_of_bounds_are_refused(steps: int, emoji: SourceModel) -> None:
    with pytest.raises(RequestError, match=rf"{steps} calibration steps are out of bounds; use 1 to 50"):
        calibration_of(emoji, None, None, None, None, steps)


@pytest.mark.parametrize(
    ("prompts", "count", "seed", "resolutions", "steps"),
    [
        (Path("prompts.txt"), None, None, None, None),
        (None, 2, None, None, None),
        (None, None, 0, None, None),  # the default, but given
        (None, None, None, [128], None),
        (None, None, None, None, 1),
    ],
)
def test_given_ranges_exclude_what_would_measure_them(
    prompts: Path | None,
    count: int | None,
    seed: int | None,
    resolutions: list[int] | None,
    steps: int | None,
    emoji: SourceModel,
    tmp_path: Path,
) -> None:
    file = tmp_path / "ranges.json"
    with pytest.raises(RequestError, match="--ranges excludes --prompts, --prompt-count, --seed"):
        ranges_of(file, emoji, prompts, count, seed, resolutions, steps)


# The model.


@pytest.mark.parametrize(
    ("vae", "precision", "expected"),
    [
        (None, "float16", "--vae-precision float16 needs an FP16-safe VAE"),
        (None, "half", "--vae-precision is one of float32, bfloat16, float16, not 'half'"),
        ("some/vae", "", "--vae-precision is one of"),
    ],
)
def test_a_precision_that_draws_black_or_is_none_is_refused(
    vae: str | None, precision: str, expected: str
) -> None:
    with pytest.raises(RequestError, match=expected):
        choice_of("emoji-turbo", None, None, vae, precision, None, None)


def test_half_precision_is_taken_with_a_vae_for_it() -> None:
    choice = choice_of("emoji-turbo", None, None, "some/vae", "float16", ["a.safetensors:0.5"], "lcm")
    assert choice == ModelChoice(
        "emoji-turbo",
        vae="some/vae",
        loras=("a.safetensors:0.5",),
        scheduler="lcm",
        vae_precision="float16",
    )


# Folders.


@pytest.mark.parametrize("option", ["--out", "--work"])
@pytest.mark.parametrize("place", [".", "unet", "new/folder", "..", "link"])
def test_nothing_is_written_into_or_around_the_model(
    option: str, place: str, tiny_model: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "models" / "tiny")
    (tmp_path / "models" / "link").symlink_to(model)
    folder = model / place if place != "link" else tmp_path / "models" / "link"
    before = sorted(tmp_path.rglob("*"))
    recipe = Recipe(
        choice=ModelChoice(str(model)),
        targets=(Target.parse("cpu"),),
        resolutions=(64,),
        batch=1,
        plan=Uniform(FP16, (), (), bos_aware=False, split_shortcuts=False),
        ranges=Calibration(("a cat",), 0),
        layout=Layout.PER_RESOLUTION,
        build=BuildOptions(timing_cache=None, strip_weights=False),
    )
    out, work = (folder, None) if option == "--out" else (tmp_path / "out", folder)
    with pytest.raises(RequestError, match=rf"{option} .* must be apart from the model's folder .*tiny"):
        run(recipe, out, work=work, jobs=1, watch=SilentWatch())
    assert sorted(tmp_path.rglob("*")) == before
