from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_file
from mixdq.configs.layers import ModelIdentity
from mixdq.eval.ablation.training import compare_with_training, open_training, write_emoji_pictures
from mixdq.eval.image_set import ImageRecord, ImageSet, Painter
from mixdq.eval.images.order import Order
from mixdq.eval.quality.bootstrap import Bootstrap
from mixdq.eval.quality.pictures import open_drawn

PROMPTS = ("red ball", "green ball", "blue ball")
ORDERS = tuple(Order(place, prompt, place, f"{place:04d}.png") for place, prompt in enumerate(PROMPTS))
BOOTSTRAP = Bootstrap(200, 0)


def _pixels(place: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(place).integers(0, 250, (side, side, 3), dtype=np.uint8)


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """A picture a prompt, in another order than the prompts."""
    folder = tmp_path / "training"
    folder.mkdir()
    captions = []
    for number, place in enumerate((2, 0, 1)):
        Image.fromarray(_pixels(place)).save(folder / f"{number}.png")
        captions.append({"file": f"{number}.png", "caption": PROMPTS[place]})
    (folder / "captions.json").write_text(json.dumps({"pictures": captions, "version": 1}))
    return folder


def _draw(folder: Path, change: int = 0, side: int = 16) -> Path:
    """What a model would draw: the training picture of each prompt, `change` levels brighter."""
    folder.mkdir()
    records = []
    for order in ORDERS:
        Image.fromarray(_pixels(order.index, side) + np.uint8(change)).save(folder / order.file)
        digest = sha256_of_file(folder / order.file)
        records.append(ImageRecord(order.index, order.prompt, order.seed, order.file, digest))
    painter = Painter(
        "bundle", ModelIdentity("tiny", "0" * 64), "FP16", None, {}, "cpu", "cpu", "euler", 1, side
    )
    ImageSet(painter, "3" * 64, len(records), tuple(records), {}, {}).write(folder)
    return folder


def _compare(drawn: Path, training: Path) -> dict[str, float]:
    opened = open_training(training, ORDERS)
    scores = compare_with_training(open_drawn(drawn), opened, BOOTSTRAP, lambda done, total: None)
    return {score.metric: score.value for score in scores}


def test_pictures_are_paired_by_what_they_show(training: Path, tmp_path: Path) -> None:
    assert _compare(_draw(tmp_path / "same"), training) == {"PSNR dB": 120.0, "SSIM (whole picture)": 1.0}


def test_a_change_of_five_levels_is_34_db(training: Path, tmp_path: Path) -> None:
    # 20 log10(255 / 5)
    assert _compare(_draw(tmp_path / "brighter", 5), training)["PSNR dB"] == pytest.approx(34.1514, abs=1e-4)


def test_training_pictures_are_scaled_to_the_drawn_ones(training: Path, tmp_path: Path) -> None:
    assert _compare(_draw(tmp_path / "small", side=8), training)["PSNR dB"] < 20


def test_without_captions_or_with_a_prompt_missing_there_are_no_pairs(training: Path, tmp_path: Path) -> None:
    more = (*ORDERS, Order(3, "a black ball", 3, "0003.png"))
    assert open_training(training, more).partners is None
    (training / "captions.json").unlink()
    assert _compare(_draw(tmp_path / "drawn"), training) == {}


def test_captions_of_files_that_are_not_there_are_refused(training: Path) -> None:
    (training / "1.png").unlink()
    with pytest.raises(EvaluationError, match=r"names 1\.png and 0 more files that are not there"):
        open_training(training, ORDERS)


def test_pictures_that_a_model_drew_are_no_training_pictures(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="was drawn by a model"):
        open_training(_draw(tmp_path / "drawn"), ORDERS)


def _packages(folder: Path) -> Path:
    """Both npm packages, in the real ones' layout, with one emoji a prompt."""
    folder.mkdir()
    records = [
        {"label": label.title(), "hexcode": f"1F60{place}", "tags": [], "group": 0}
        for place, label in enumerate(PROMPTS)
    ]
    members = {"emojibase-data-17.0.0.tgz": {"package/en/data.json": json.dumps(records).encode()}}
    members["lobehub-fluent-emoji-3d-1.1.0.tgz"] = {}
    for place in range(len(PROMPTS)):
        file = io.BytesIO()
        Image.fromarray(_pixels(place)).save(file, format="WEBP", lossless=True)
        members["lobehub-fluent-emoji-3d-1.1.0.tgz"][f"package/assets/1f60{place}.webp"] = file.getvalue()
    for name, files in members.items():
        with tarfile.open(folder / name, "w:gz") as archive:
            for path, content in files.items():
                info = tarfile.TarInfo(path)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return folder


def test_emoji_pictures_are_written_with_their_captions_and_pair_with_the_prompts(tmp_path: Path) -> None:
    data, out = _packages(tmp_path / "npm"), tmp_path / "out"
    assert write_emoji_pictures(data, out, ("blue ball", "red ball", "green ball"), 16) == 3
    assert _compare(_draw(tmp_path / "drawn"), out)["PSNR dB"] == 120.0
    with pytest.raises(EvaluationError, match="holds files"):
        write_emoji_pictures(data, out, (), 16)


def test_a_prompt_that_is_no_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"1 of 2 prompts are no emoji's label: a cat"):
        write_emoji_pictures(_packages(tmp_path / "npm"), tmp_path / "out", ("red ball", "a cat"), 16)
