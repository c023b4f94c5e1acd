"""A set of photographs with their captions, so that what scores drawn pictures scores real ones too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from mixdq.configs.errors import EvaluationError, RequestError
from mixdq.configs.files import sha256_of_file, writing
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.eval.image_set import ImageRecord, ImageSet, Painter
from mixdq.eval.images.coco import CaptionedPhotograph
from mixdq.eval.images.order import Order, order_digest
from mixdq.eval.quality.pictures import load_photograph

_NAMED = 5


def write_photographs(
    folder: Path,
    photographs: tuple[CaptionedPhotograph, ...],
    orders: tuple[Order, ...],
    *,
    captions: Path,
    resolution: int,
    out: Path,
    report: Callable[[int, int], None],
) -> ImageSet:
    """Writes a set as `mixdq-eval images` does: squares in PNG, and a manifest whose prompts are captions.

    A photograph's middle square is resized by Pillow's bicubic filter, which is the part and the filter that
    CLIP takes. The folder is written whole or not at all.

    Args:
        folder: of the photographs' files.
        photographs: all of the captions' file, in its order.
        orders: those to take, by their index.
        captions: the file that they are from, whose digest is noted.
        resolution: pixels of each side.
        out: the set's folder, which is not there yet or is empty.
        report: called with the number of those that are done, and of all.

    Raises:
        RequestError: there is something in `out`.
        EvaluationError: a photograph is missing or can't be decoded; names it.
        StorageError: the disk is full.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"{out} is there already; give --out a folder that is new or empty")
    _check_files(folder, [photographs[order.index].file for order in orders])
    painter = Painter(
        kind="photographs",
        model=ModelIdentity(f"photographs of {captions.name}", sha256_of_file(captions)),
        plan="photographs",
        plan_digest=None,
        engines={},
        target="none",
        device="none",
        scheduler="none",
        steps=0,
        resolution=resolution,
    )
    with writing(out) as temporary:
        temporary.mkdir()
        records = []
        for done, order in enumerate(orders, start=1):
            path = temporary / order.file
            middle_square(load_photograph(folder / photographs[order.index].file), resolution).save(path)
            records.append(
                ImageRecord(order.index, order.prompt, order.seed, order.file, sha256_of_file(path))
            )
            report(done, len(orders))
        images = ImageSet(
            painter=painter,
            prompts_digest=order_digest(orders),
            count=len(orders),
            images=tuple(records),
            machine=describe_machine(),
            versions=installed_versions("mixdq", "pillow"),
        )
        images.write(temporary)
    return images


def middle_square(picture: Image.Image, side: int) -> Image.Image:
    """The largest square around a picture's middle, at `side` pixels."""
    width, height = picture.size
    short = min(width, height)
    left, top = (width - short) / 2, (height - short) / 2
    box = (left, top, left + short, top + short)
    return picture.resize((side, side), Image.Resampling.BICUBIC, box=box)


def _check_files(folder: Path, files: list[str]) -> None:
    if not folder.is_dir():
        raise EvaluationError(f"there is no folder {folder}; give the one of the photographs")
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise EvaluationError(
            f"{folder} lacks {len(missing)} of the {len(files)} photographs that the captions are of: "
            f"{', '.join(missing[:_NAMED])}{more}; give the folder that belongs to the captions, or other "
            "--start and --count"
        )
