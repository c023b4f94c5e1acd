"""COCO's photographs with their captions: one caption a photograph, in the order of `read_prompts`."""

from __future__ import annotations

from dataclasses import dataclass as plain_dataclass
from pathlib import Path

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import read_json
from mixdq.configs.errors import EvaluationError
from mixdq.eval.images.prompts import CocoCaption, checked, first_captions

_READ = ConfigDict(extra="ignore")


@dataclass(frozen=True, slots=True, config=_READ)
class CocoImage:
    """One of COCO's photographs."""

    id: int
    file_name: str


@dataclass(frozen=True, slots=True, config=_READ)
class CocoFile:
    """A file of COCO's captions: the photographs, and what was said of them."""

    images: tuple[CocoImage, ...]
    annotations: tuple[CocoCaption, ...]


@plain_dataclass(frozen=True, slots=True)
class CaptionedPhotograph:
    """A photograph's file, and what it shows."""

    file: str
    caption: str


def read_photographs(path: Path) -> tuple[CaptionedPhotograph, ...]:
    """Each captioned photograph with its first caption: prompt i of `read_prompts` is that of photograph i.

    Raises:
        StorageError: the file can't be read.
        EvaluationError: it is no JSON of COCO's form, or has captions of photographs that it does not list.
    """
    coco = read_json(CocoFile, path, EvaluationError)
    first = first_captions(coco.annotations)
    names = {image.id: image.file_name for image in coco.images}
    if unlisted := [caption.image_id for caption in first if caption.image_id not in names]:
        raise EvaluationError(
            f"{path} has captions of {len(unlisted)} photographs that its images don't list, the first with "
            f"image_id {unlisted[0]}; give a file of COCO's captions as it was published"
        )
    captions = checked(path, [caption.caption for caption in first])
    return tuple(
        CaptionedPhotograph(names[each.image_id], caption)
        for each, caption in zip(first, captions, strict=True)
    )
