"""Photographs with COCO's captions become a set that is scored like drawn pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixdq.configs.console import run_app
from mixdq.configs.errors import EvaluationError
from mixdq.eval.cli import app
from mixdq.eval.images.coco import read_photographs
from mixdq.eval.images.photographs import middle_square
from mixdq.eval.images.prompts import read_prompts
from mixdq.eval.quality.bootstrap import Bootstrap
from mixdq.eval.quality.comparing_texts import score_with
from mixdq.eval.quality.networks import Resize
from mixdq.eval.quality.pictures import open_drawn
from mixdq.eval.quality.request import QualityRequest
from mixdq.eval.scorer import Scores

_COLOURS = [(20 * number, 255 - 20 * number, 90 * number % 256) for number in range(12)]
Run = Callable[..., str]


@pytest.fixture
def coco(tmp_path: Path) -> tuple[Path, Path]:
    """Twelve photographs, wide, tall and square, each of one colour in its middle, and their captions."""
    folder = tmp_path / "val2014"
    folder.mkdir()
    images, annotations = [], []
    for number in range(12):
        width, height = ((90, 40), (40, 70), (50, 50))[number % 3]
        pixels = np.zeros((height, width, 3), np.uint8)
        short = min(width, height)
        left, top = (width - short) // 2, (height - short) // 2
        pixels[top : top + short, left : left + short] = _COLOURS[number]
        name = f"COCO_val2014_{900 - number:012d}.png"
        Image.fromarray(pixels).save(folder / name)
        images.append({"id": 900 - number, "file_name": name, "license": 3})
        later = {"image_id": 900 - number, "id": 50 + number, "caption": "something else"}
        annotations += [later, {**later, "id": number, "caption": f"colour {number}"}]
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder, captions


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `mixdq-eval photographs` with a code to expect; gives what it printed."""

    def call(*words: object, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            run_app(app, ["photographs", *map(str, words)])
        out, error = capfd.readouterr()
        assert ended.value.code == code, error
        return out + error

    return call


def test_photographs_stand_in_the_order_in_which_their_captions_are_drawn(coco: tuple[Path, Path]) -> None:
    captions = coco[1]
    photographs = read_photographs(captions)
    assert tuple(each.caption for each in photographs) == read_prompts(captions)
    assert photographs[0].file == "COCO_val2014_000000000889.png"
    assert photographs[0].caption == "colour 11"


def test_the_command_makes_a_set_of_middle_squares(coco: tuple[Path, Path], tmp_path: Path, run: Run) -> None:
    folder, captions = coco
    out = tmp_path / "set"
    said = run(folder, "--captions", captions, "--out", out, "--resolution", 32, "--start", 1, "--count", 6)
    assert "6 photographs of 32 pixels" in said
    drawn = open_drawn(out)
    assert [record.index for record in drawn.records] == [1, 2, 3, 4, 5, 6]
    for place, record in enumerate(drawn.records):
        colour = _COLOURS[int(record.prompt.split()[1])]
        # The filter reaches beyond the square, as it does where CLIP resizes first and cuts then.
        inside = np.asarray(drawn.load(place))[4:-4, 4:-4]
        assert np.unique(inside.reshape(-1, 3), axis=0).tolist() == [list(colour)]
    assert drawn.manifest.painter.kind == "photographs"


def test_a_square_is_what_clip_s_resizing_shows_of_the_picture() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    picture = Image.fromarray(pixels).resize((90, 60), Image.Resampling.BICUBIC)
    clip = picture.resize((36, 24), Image.Resampling.BICUBIC).crop((6, 0, 30, 24))
    difference = np.asarray(middle_square(picture, 24), int) - np.asarray(clip, int)
    assert np.abs(difference).max() <= 1


def test_the_set_is_scored_against_its_captions_with_the_control_of_others_captions(
    coco: tuple[Path, Path], tmp_path: Path, run: Run
) -> None:
    folder, captions = coco
    out = tmp_path / "set"
    run(folder, "--captions", captions, "--out", out, "--resolution", 32)
    drawn = open_drawn(out)
    request = QualityRequest(
        reference=folder,
        generated=(out,),
        metrics=None,
        with_effnet=False,
        resize=Resize.CLEAN,
        device="cpu",
        batch=4,
        bootstrap=Bootstrap(200, 0),
    )
    places = tuple(range(12))
    found = score_with(_Colours(), request, drawn, [drawn], [places], lambda _: lambda *_: None)
    assert all(control.passed for control in found.controls)
    assert found.scores[0].sets[0].min() > 0.9


def test_bad_input_is_named(coco: tuple[Path, Path], tmp_path: Path, run: Run) -> None:
    folder, captions = coco
    rest = ("--captions", captions, "--out", tmp_path / "set", "--resolution", 32)
    said = run(folder, "--captions", tmp_path / "no.json", *rest[2:], code=2)
    assert "no.json does not exist" in said
    assert "nowhere" in run(tmp_path / "nowhere", *rest, code=2)
    assert "lower --count" in run(folder, *rest, "--count", 13, code=2)
    damaged = folder / "COCO_val2014_000000000889.png"
    damaged.write_bytes(damaged.read_bytes()[:80])
    assert f"{damaged} can't be decoded" in run(folder, *rest, code=2)
    damaged.unlink()
    said = run(folder, *rest, code=2)
    assert "lacks 1 of the 12 photographs that the captions are of: COCO_val2014_000000000889.png" in said
    assert not (tmp_path / "set").exists()
    run(folder, *rest, "--start", 1)
    assert "is there already" in run(folder, *rest, "--start", 1, code=2)


def test_captions_of_photographs_that_are_not_listed_are_refused(coco: tuple[Path, Path]) -> None:
    document = json.loads(coco[1].read_text())
    document["images"].pop()
    coco[1].write_text(json.dumps(document))
    with pytest.raises(EvaluationError, match=r"1 photographs that its images don't list.*image_id 889"):
        read_photographs(coco[1])


def test_help_imports_neither_torch_nor_onnxruntime() -> None:
    program = (
        "import sys\nfrom mixdq.eval.cli import app\n"
        "try:\n    app(['photographs', '--help'])\nexcept SystemExit as ended:\n    assert ended.code == 0\n"
        "sys.exit(', '.join({'torch', 'onnxruntime'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "val2014" in done.stdout


class _Colours:
    """Scores a picture by how near its mean colour is to the one that the text names."""

    name = "colour"
    weights_sha256 = "0" * 64

    def score(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> Scores:
        means = [np.asarray(picture, float).mean(axis=(0, 1)) for picture in images]
        named = [np.array(_COLOURS[int(text.split()[1])], float) for text in prompts]
        scores: Scores = 1 - np.abs(np.array(means) - np.array(named)).max(axis=1) / 255
        return scores
