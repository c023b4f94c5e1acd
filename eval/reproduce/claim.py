"""A folder belongs to one recipe with one set of options: figures of others never get into its tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text

_FILE = "reproduce.json"


@dataclass(frozen=True, slots=True, config=STRICT)
class Claim:
    """Whose a folder is (`reproduce.json`).

    Attributes:
        recipe: its name.
        settings: all that its figures depend on, in words and digests.
    """

    recipe: str
    settings: Mapping[str, str]
    version: int = 1


def claim(folder: Path, wanted: Claim) -> None:
    """Makes a folder a recipe's, or finds that it is.

    Raises:
        EvaluationError: it holds another recipe's results, those of other options, or something else.
        StorageError: it can't be written.
    """
    path = folder / _FILE
    if not path.is_file():
        if folder.exists() and any(folder.iterdir()):
            raise EvaluationError(
                f"{folder} holds files and no {_FILE} of a recipe; give --out a new or empty folder"
            )
        write_text(path, to_json(wanted))
        return
    found = read_json(Claim, path, EvaluationError)
    if found.recipe != wanted.recipe:
        raise EvaluationError(
            f"{folder} holds the results of {found.recipe}, not of {wanted.recipe}; give --out another "
            "folder (recipes share what they can by --work)"
        )
    differ = [
        f"{name} was {_brief(found.settings.get(name))}, is {_brief(wanted.settings.get(name))}"
        for name in dict.fromkeys((*found.settings, *wanted.settings))
        if found.settings.get(name) != wanted.settings.get(name)
    ]
    if differ:
        raise EvaluationError(
            f"{folder} holds results of {found.recipe} with other options: {'; '.join(differ)}; give --out "
            "another folder, or the same options as before"
        )


def _brief(value: str | None) -> str:
    if value is None:
        return "not given"
    return f"{value[:12]}…" if len(value) == 64 else value
