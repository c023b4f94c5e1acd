"""Folders of pictures to score: sets with a manifest, and plain folders of photographs."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import PIL
from PIL import Image

from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_file, sha256_of_text
from mixdq.eval.image_set import MANIFEST_FILE, ImageRecord, ImageSet
from mixdq.eval.images.read import load_image, read_set

_PHOTOGRAPHS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
_FAULTS = (
    PIL.UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
)
"""What Pillow raises for a file that it can't decode."""


@dataclass(frozen=True, slots=True)
class DrawnSet:
    """Pictures whose manifest says which prompt and seed each came from.

    Attributes:
        folder: where they are.
        manifest: checked against the files.
        sha256: of the manifest's file.
    """

    folder: Path
    manifest: ImageSet
    sha256: str

    @property
    def records(self) -> tuple[ImageRecord, ...]:
        """By ascending index."""
        return self.manifest.images

    @property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each file."""
        return tuple(record.sha256 for record in self.records)

    def load(self, place: int) -> Image.Image:
        """The picture at a place of `records`, RGB.

        Raises:
            EvaluationError: it can't be decoded; names the file.
        """
        return load_image(self.folder, self.records[place])


@dataclass(frozen=True, slots=True)
class Photographs:
    """Real pictures of any size, without prompts: only distances between sets can be measured against them.

    Attributes:
        folder: where they are.
        files: names, sorted.
        digests: SHA-256 of each file.
    """

    folder: Path
    files: tuple[str, ...]
    digests: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Over the digests of the files, whatever their names."""
        return sha256_of_text("\n".join(sorted(self.digests)))

    def load(self, place: int) -> Image.Image:
        """The photograph at a place of `files`, RGB.

        Raises:
            EvaluationError: it can't be decoded; names the file.
        """
        return load_photograph(self.folder / self.files[place])


PictureSet = DrawnSet | Photographs


def load_photograph(path: Path) -> Image.Image:
    """A picture that a person made, RGB.

    Raises:
        EvaluationError: it can't be decoded; names the file.
    """
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except _FAULTS as error:
        raise EvaluationError(
            f"{path} can't be decoded as a picture: {error}; fetch it again or move it away"
        ) from error


def open_drawn(folder: Path) -> DrawnSet:
    """Opens a set that `mixdq-eval images` drew, and checks every file.

    Raises:
        EvaluationError: there is no such folder or no manifest; a picture is missing, damaged, changed, or
            there twice.
    """
    if not folder.is_dir():
        raise EvaluationError(f"there is no folder {folder}; give one that `mixdq-eval images` drew")
    manifest = read_set(folder)
    pairs = Counter((record.prompt, record.seed) for record in manifest.images)
    twice = [f"{prompt!r} with seed {seed}" for (prompt, seed), times in pairs.items() if times > 1]
    if twice:
        raise EvaluationError(
            f"{folder} holds the same picture more than once, which would count it as several: "
            f"{'; '.join(twice[:3])}; draw each prompt once, or with other seeds"
        )
    return DrawnSet(folder, manifest, sha256_of_file(folder / MANIFEST_FILE))


def open_reference(folder: Path) -> PictureSet:
    """Opens a set with a manifest, or else a folder of photographs, whose subfolders are not looked into.

    Raises:
        EvaluationError: there is no such folder, no picture in it, or the set is damaged.
    """
    if (folder / MANIFEST_FILE).is_file():
        return open_drawn(folder)
    if not folder.is_dir():
        raise EvaluationError(
            f"{folder} is no folder; give one that `mixdq-eval images` drew, or one of photographs"
        )
    files = sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in _PHOTOGRAPHS and not path.name.startswith(".") and path.is_file()
    )
    if not files:
        raise EvaluationError(
            f"{folder} holds neither a {MANIFEST_FILE} nor pictures; give a folder that `mixdq-eval images` "
            "drew, or one of photographs"
        )
    return Photographs(folder, tuple(files), tuple(sha256_of_file(folder / name) for name in files))
