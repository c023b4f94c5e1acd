"""Samples side by side: the same prompts from the same latents."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence

from PIL import Image

from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_file
from mixdq.eval.image_set import ImageRecord, ImageSet, Painter
from mixdq.eval.images.read import load_image
from mixdq.eval.report.found import Document
from mixdq.eval.report.naming import short_names
from mixdq.eval.report.results import Results
from mixdq.eval.report.view import Section, Sheet
from mixdq.eval.report.words import brief, counted

_PROMPTS = 8
_SIDE = 128
"""Pixels of a picture on the page."""
_QUALITY = 82
_MOST = 240
"""Pictures in one report: 4 to 10 KB each."""

_Set = Document[ImageSet]


def samples_section(results: Results) -> Section:
    """A sheet for each list of prompts and seeds of one model at one resolution."""
    groups: dict[tuple[object, ...], list[_Set]] = {}
    for document in results.found.image_sets:
        painter = document.content.painter
        key = (painter.model.digest, document.content.prompts_digest, painter.resolution)
        groups.setdefault(key, []).append(document)
    room = _MOST
    sheets: list[Sheet] = []
    for group in groups.values():
        rows = min(_PROMPTS, room // len(group))
        if rows:
            sheets.append(_sheet(sorted(group, key=_order), rows))
            room -= rows * len(group)
    return Section(
        "samples",
        "Samples",
        tuple(sheets),
        "Every row is one prompt from one noise; the configurations differ in nothing else. "
        "Pictures are reduced copies; their originals' digests are in the manifests below.",
    )


def _order(document: _Set) -> tuple[int, int, str]:
    """Full precision first, few steps before many; then by name, so that the order is always the same."""
    painter = document.content.painter
    return (int(painter.plan_digest is not None), int(not painter.plan.startswith("FP16")), document.name)


def _sheet(documents: Sequence[_Set], rows: int) -> Sheet:
    first = documents[0].content
    names = short_names(str(document.path.parent.resolve()) for document in documents)
    chosen = first.images[:rows]
    by_place = [{record.index: record for record in document.content.images} for document in documents]
    return Sheet(
        caption=(
            f"{first.painter.model.name}, {first.painter.resolution} pixels: the first {len(chosen)} of "
            f"{counted(first.count, 'prompt')} (list {brief(first.prompts_digest)})"
        ),
        heads=tuple(
            (names[str(document.path.parent.resolve())], _in_words(document.content.painter))
            for document in documents
        ),
        rows=tuple(
            (
                record.prompt,
                record.seed,
                tuple(
                    _address(document, records.get(record.index), record)
                    for document, records in zip(documents, by_place, strict=True)
                ),
            )
            for record in chosen
        ),
        side=min(_SIDE, first.painter.resolution),
    )


def _in_words(painter: Painter) -> str:
    return ", ".join(_words(painter))


def _words(painter: Painter) -> Iterator[str]:
    plan = painter.plan.partition(" (")[0]
    most, *others = plan.split(", ")
    yield f"mostly {most}" if others and painter.plan_digest is not None else plan
    if painter.kind == "reference":
        yield "diffusers"
    elif painter.target != "cpu":
        yield painter.target
    if painter.steps != 1:
        yield f"{painter.steps} steps"


def _address(document: _Set, record: ImageRecord | None, wanted: ImageRecord) -> str:
    """A reduced copy as a `data:` address; empty if the set lacks the picture."""
    if record is None:
        return ""
    folder = document.path.parent
    if (record.prompt, record.seed) != (wanted.prompt, wanted.seed):
        raise EvaluationError(
            f"{document.path} gives picture {record.index} another prompt or seed than its list's digest "
            "says; it was edited: draw the set anew"
        )
    path = folder / record.file
    if not path.is_file() or sha256_of_file(path) != record.sha256:
        raise EvaluationError(
            f"{path} is missing or was changed after it was drawn (its manifest has another SHA-256); draw "
            "it again: the same `mixdq-eval images` command redraws what is damaged"
        )
    side = min(_SIDE, document.content.painter.resolution)
    with load_image(folder, record) as picture:
        small = picture if picture.width == side else picture.resize((side, side), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        small.save(out, "WEBP", quality=_QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"
