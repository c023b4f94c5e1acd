"""Files of prompts: text, or captions in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import parse, read_json
from mixdq.configs.errors import EvaluationError, StorageError

_FORMS = (
    "a list of texts, a list of objects with a caption or a prompt, or COCO's captions (an object with "
    "annotations, each of an image_id, an id and a caption)"
)
_REMEDY = "give --prompts a text file with one prompt a line, or a .json"
# COCO's files hold more fields (licence, date, size), which don't matter here.
_READ = ConfigDict(extra="ignore")
_Number = Annotated[int, Field(strict=True)]


@dataclass(frozen=True, slots=True, config=_READ)
class CocoCaption:
    """One of COCO's annotations."""

    image_id: _Number
    id: _Number
    caption: str


@dataclass(frozen=True, slots=True, config=_READ)
class CocoCaptions:
    """COCO's captions of a set of images."""

    annotations: tuple[CocoCaption, ...]


def read_prompts(path: Path) -> tuple[str, ...]:
    """All prompts of a file, in its order; every one exactly as it stands there.

    A name that ends in `.json` is JSON: a list of texts; a list of objects, each with a `caption` or a
    `prompt`; or COCO's captions, of which each image gives one, the annotation of the smallest `id`, in the
    order of the `image_id`s. Any other name is UTF-8 text, one prompt a line: blank lines (nothing but white
    space) are skipped and don't count, and a line ends with LF or CR LF alone, so that no other character of
    Unicode ends a prompt.

    Raises:
        StorageError: the file can't be read.
        EvaluationError: it is no UTF-8, no such JSON, or holds no prompt, or an empty one in JSON.
    """
    if not path.exists():
        raise StorageError(f"the file of prompts {path} does not exist; {_REMEDY}")
    prompts = _of_json(path) if path.suffix.lower() == ".json" else _of_text(path)
    if not prompts:
        raise EvaluationError(f"{path} holds no prompt; write one a line, or give another file")
    return prompts


def first_captions(annotations: Sequence[CocoCaption]) -> tuple[CocoCaption, ...]:
    """Each image's annotation of the smallest `id`, in the order of the `image_id`s."""
    chosen: dict[int, CocoCaption] = {}
    for caption in sorted(annotations, key=lambda each: (each.image_id, each.id)):
        chosen.setdefault(caption.image_id, caption)
    return tuple(chosen.values())


def _of_text(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"could not read the prompts {path}: {reason}; {_REMEDY}") from error
    except UnicodeDecodeError as error:
        raise EvaluationError(
            f"{path} is no UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8, one prompt a "
            "line"
        ) from error
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    return tuple(line for line in lines if line.strip())


def _of_json(path: Path) -> tuple[str, ...]:
    data = read_json(object, path, EvaluationError)
    if isinstance(data, dict) and "annotations" in data:
        captions = first_captions(parse(CocoCaptions, data, str(path), EvaluationError).annotations)
        return checked(path, [caption.caption for caption in captions])
    if isinstance(data, list):
        return checked(path, [_of_entry(path, place, entry) for place, entry in enumerate(data)])
    raise EvaluationError(f"{path} has none of the forms that are known: {_FORMS}")


def _of_entry(path: Path, place: int, entry: object) -> str:
    if isinstance(entry, str):
        return entry
    found = [entry[key] for key in ("caption", "prompt") if key in entry] if isinstance(entry, dict) else []
    if len(found) != 1 or not isinstance(found[0], str):
        raise EvaluationError(
            f"{path}: entry {place} (from 0) is neither a text nor an object with one text, its caption or "
            f"its prompt; the file must be {_FORMS}"
        )
    return found[0]


def checked(path: Path, prompts: Sequence[str]) -> tuple[str, ...]:
    """The prompts of a file.

    Raises:
        EvaluationError: one is empty, or no Unicode text.
    """
    for place, prompt in enumerate(prompts):
        if not prompt.strip():
            raise EvaluationError(f"{path}: prompt {place} (from 0) is empty; give it a text or remove it")
        try:
            prompt.encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can write
            raise EvaluationError(f"{path}: prompt {place} (from 0) is no Unicode text: {error}") from error
    return tuple(prompts)
