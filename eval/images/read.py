"""A folder of pictures, read for measuring: whole and undamaged, or one error that names the pictures."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Collection, Iterable
from itertools import pairwise
from pathlib import Path

import PIL
from PIL import Image

from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_file
from mixdq.eval.image_set import MANIFEST_FILE, ImageRecord, ImageSet

_NAMED = 5
"""At most so many pictures are named in one error."""

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_FAULTS = (PIL.UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, struct.error)
"""What Pillow raises for a damaged file, the last four from within its PNG reader."""


def read_set(folder: Path) -> ImageSet:
    """Reads the manifest of a folder and checks all that it says, so that `load_image` can't surprise.

    The set is whole; indices ascend; each file is there once, with the manifest's SHA-256, a PNG with intact
    chunks and of the manifest's size; and no other picture lies beside them. Files are read one at a time;
    pixels are not decoded. Files that are no pictures (scores, notes) are let be.

    Args:
        folder: what `mixdq-eval images` wrote.

    Raises:
        EvaluationError: any of that does not hold; at most five pictures are named.
    """
    if not (folder / MANIFEST_FILE).is_file():
        raise EvaluationError(
            f"{folder} holds no {MANIFEST_FILE}, so nobody knows which prompts its pictures show; "
            "`mixdq-eval images SOURCE --out DIR` draws a folder that has one"
        )
    images = ImageSet.read(folder)
    _check_list(folder, images)
    refuse_strangers(folder, {record.file for record in images.images})
    again = "draw them again: the `mixdq-eval images` command that made the folder redraws what is damaged"
    files = [(record, folder / record.file) for record in images.images]
    _refuse(folder, "missing pictures", (r.file for r, path in files if not path.is_file()), again)
    _refuse(
        folder,
        "pictures that were changed or damaged after they were drawn (another SHA-256 than the manifest's)",
        (record.file for record, path in files if sha256_of_file(path) != record.sha256),
        again,
    )
    side = images.painter.resolution
    faults = ((record.file, fault_of(path, side)) for record, path in files)
    _refuse(folder, "unusable pictures", (f"{file} ({fault})" for file, fault in faults if fault), again)
    return images


def load_image(folder: Path, record: ImageRecord) -> Image.Image:
    """One picture of a set that `read_set` checked: decoded, RGB.

    Raises:
        EvaluationError: it can't be decoded; names the file.
    """
    path = folder / record.file
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except _FAULTS as error:
        raise EvaluationError(f"{path} can't be decoded as a picture: {error}; draw it again") from error


def refuse_strangers(folder: Path, files: Collection[str]) -> None:
    """Refuses a folder with pictures that have other names than `files`.

    Hidden files and files that are no pictures are let be.

    Raises:
        EvaluationError: names them.
    """
    _refuse(
        folder,
        "pictures that belong to no set here",
        sorted(
            path.name
            for path in folder.iterdir()
            if path.suffix.lower() in _PICTURES and not path.name.startswith(".") and path.name not in files
        ),
        "move them away",
    )


def fault_of(path: Path, side: int) -> str | None:
    """What is wrong with a PNG that should have `side` pixels each way; None if nothing is.

    Its chunks' checksums are compared; the pixels are not decoded.
    """
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            size = picture.size
            picture.verify()
    except _FAULTS as error:
        return f"no readable PNG: {error}"
    return None if size == (side, side) else f"{size[0]}x{size[1]} pixels, not {side}x{side}"


def _check_list(folder: Path, images: ImageSet) -> None:
    """Refuses a manifest that is not whole, or that does not fit together."""
    if not images.images or not images.is_whole:
        raise EvaluationError(
            f"{folder} holds {len(images.images)} of the {images.count} pictures that were asked for; run "
            "the same `mixdq-eval images` command again: it goes on where it stopped"
        )
    indices = [record.index for record in images.images]
    if any(after <= before for before, after in pairwise(indices)):
        raise EvaluationError(f"{folder / MANIFEST_FILE}: the indices don't ascend; it was edited: draw anew")
    names = Counter(record.file for record in images.images)
    _refuse(folder, "files that the manifest gives twice", (n for n, times in names.items() if times > 1))
    # A name with a path in it would be read from elsewhere.
    _refuse(
        folder,
        "names in the manifest that are no file's",
        (n or '""' for n in names if not n or Path(n).name != n),
    )


def _refuse(folder: Path, what: str, faulty: Iterable[str], remedy: str = "draw the set anew") -> None:
    found = list(faulty)
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise EvaluationError(f"{folder}: {what}: {', '.join(found[:_NAMED])}{more}; {remedy}")
