"""Which ablation a folder holds: what all its rows share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_text, write_text
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.ranges import CalibrationRun

HEADER_FILE = "header.json"


@dataclass(frozen=True, config=STRICT)
class Header:
    """What an ablation's pictures and plans depend on beside the rows that are chosen (`header.json`).

    Attributes:
        model: with the digest of its weights.
        layers_digest: of its architecture.
        sensitivity_digest: of the scores that plans are made from.
        prompts_digest: over prompts and seeds, in order.
        count: pictures a row.
        seed: of the first picture's noise.
        resolution: pixels.
        calibration: what the ranges of all quantized rows are measured on.
        ratio: the split of the decoupled rows and of those by lost noise; None where none was given.
        plans: digests of the plans that were given, by row.
    """

    model: ModelIdentity
    layers_digest: str
    sensitivity_digest: str
    prompts_digest: str
    count: int
    seed: int
    resolution: int
    calibration: CalibrationRun
    ratio: float | None
    plans: Mapping[str, str]
    version: int = 1

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the header's file form."""
        return sha256_of_text(to_json(self))


def claim(folder: Path, header: Header) -> None:
    """Makes a folder this ablation's, or finds that it is.

    Raises:
        EvaluationError: it holds another ablation, or something else.
        StorageError: it can't be written.
    """
    path = folder / HEADER_FILE
    if not path.is_file():
        if folder.exists() and any(folder.iterdir()):
            raise EvaluationError(
                f"{folder} holds files and no {HEADER_FILE} of an ablation; give --out a new or empty folder"
            )
        write_text(path, to_json(header))
        return
    found = read_json(Header, path, EvaluationError)
    if found.digest != header.digest:
        differ = [
            f"{field.name} was {_brief(getattr(found, field.name))}, is {_brief(getattr(header, field.name))}"
            for field in fields(header)
            if getattr(found, field.name) != getattr(header, field.name)
        ]
        raise EvaluationError(
            f"{folder} holds another ablation: {'; '.join(differ)}; its rows can't be compared with these: "
            "give --out another folder, or the same options as before"
        )


def in_words(run: CalibrationRun) -> str:
    """What ranges were measured on, for an error."""
    return (
        f"prompts {run.prompts} ({run.prompts_digest[:12]}…), seed {run.seed}, "
        f"pixels {' '.join(map(str, run.resolutions))}, steps {run.steps}"
    )


def _brief(value: object) -> str:
    if isinstance(value, ModelIdentity):
        return f"{value.name} ({value.digest[:12]}…)"
    if isinstance(value, CalibrationRun):
        return in_words(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {digest[:12]}…" for name, digest in value.items()) or "none"
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text
