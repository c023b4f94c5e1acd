"""Which files of folders may be documents."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.configs.bundle import BUNDLE_FILE
from mixdq.configs.errors import EvaluationError

_SUFFIXES = {".json", ".yaml", ".yml", ".csv"}
_PARTS_OF_A_BUNDLE = {"onnx", "engines", "packages", "tokenizer", "tokenizer_2"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be a document.

    Attributes:
        path: where it is.
        name: its path below the folder that was given, with that folder's own name.
        is_given: whether it was given by itself.
    """

    path: Path
    name: str
    is_given: bool


def candidates(paths: Sequence[Path]) -> Iterator[Candidate]:
    """The files of folders and of those below them, sorted, each once.

    Hidden files and folders, links to folders, and the parts of bundles are left out.

    Raises:
        EvaluationError: a path does not exist.
    """
    if missing := [str(path) for path in paths if not path.exists()]:
        raise EvaluationError(f"{', '.join(missing)} does not exist; give folders that hold results")
    seen: set[Path] = set()
    for given in paths:
        for path in [given] if given.is_file() else _files(given):
            if (real := path.resolve()) not in seen:
                seen.add(real)
                base = given.resolve().name
                name = base if path == given else f"{base}/{path.relative_to(given).as_posix()}"
                yield Candidate(path, name, path == given)


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        hidden = _PARTS_OF_A_BUNDLE if BUNDLE_FILE in files else set()
        folders[:] = sorted(name for name in folders if name[0] != "." and name not in hidden)
        for name in sorted(files):
            if name[0] != "." and Path(name).suffix in _SUFFIXES:
                yield Path(folder, name)
