"""Which grid a folder holds: what all its cells share, so that none is put beside cells of another kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json, to_plain
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text
from mixdq.configs.latency_table import first_difference
from mixdq.configs.layers import ModelIdentity

HEADER_FILE = "header.json"


@dataclass(frozen=True, slots=True, config=STRICT)
class Header:
    """What all cells of a grid share (`header.json`).

    Attributes:
        model: with the digest of its weights.
        prompts_digest: over prompts and seeds of the pictures; empty if quality is not measured.
        count: pictures a cell; 0 if quality is not measured.
        seed: of the first picture's noise.
        steps: denoising steps.
        settings: how times are measured.
        machine: where.
        versions: packages, by name.
    """

    model: ModelIdentity
    prompts_digest: str
    count: int
    seed: int
    steps: int
    settings: Mapping[str, str]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    version: int = 1


def claim(folder: Path, header: Header) -> None:
    """Makes a folder this grid's, or finds that it is.

    Raises:
        EvaluationError: it holds another grid, or something else; says what differs.
        StorageError: it can't be written.
    """
    path = folder / HEADER_FILE
    if not path.is_file():
        if folder.exists() and any(one.name != "work" for one in folder.iterdir()):
            raise EvaluationError(
                f"{folder} holds files and no {HEADER_FILE} of a grid; give --out a new or empty folder"
            )
        write_text(path, to_json(header))
        return
    found = read_json(Header, path, EvaluationError)
    if difference := first_difference(_flat(found), _flat(header)):
        raise EvaluationError(
            f"{folder} holds a grid that differs in {difference} (there and here), and such figures are "
            "never put side by side; give --out another folder, or the same options on the same machine"
        )


def _flat(header: Header) -> dict[str, str]:
    """The header's entries by name, those of its mappings one by one."""
    found: dict[str, str] = {}
    for name, value in to_plain(header).items():
        entries = value.items() if isinstance(value, dict) else [("", value)]
        found |= {f"{name} {key}".strip(): str(entry) for key, entry in entries}
    return found
