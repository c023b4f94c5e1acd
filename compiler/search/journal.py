"""What was judged already: every figure is on the disk before the next plan is judged."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, parse, to_plain
from mixdq.configs.errors import EvaluationError, MachineError, StorageError
from mixdq.export.judgement import Fidelity

_PATIENCE_S, _PAUSE_S = 6.0, 0.1
"""A killed command's child notices within a few seconds, in which it still holds the journal."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Conditions:
    """All that decides a plan's figures, but the plan: the journal's first line.

    Attributes:
        model_digest: of configurations and weights.
        layers_digest: of the architecture.
        ranges_digest: of the activations' ranges.
        prompts: how many.
        prompts_digest: SHA-256 of their text.
        seed: of the first prompt's noise.
        resolution: pixels.
        dialect: of the quantizer.
        device: `cpu`, or the GPU's name.
        threads: of the CPU, on which the order of its sums depends; None on a GPU.
        batch: prompts at once.
        torch: its version.
        code: digest of what judges.
    """

    model_digest: str
    layers_digest: str
    ranges_digest: str
    prompts: int
    prompts_digest: str
    seed: int
    resolution: int
    dialect: str
    device: str
    threads: int | None
    batch: int
    torch: str
    code: str
    version: int = 1

    def check(self, kept: Conditions, where: Path) -> None:
        """Refuses to go on with what was judged otherwise.

        Raises:
            EvaluationError: names all that differs.
        """
        changes = [
            f"{field.name.replace('_', ' ')} {str(old)[:12]}, now {str(new)[:12]}"
            for field in fields(self)
            if (old := getattr(kept, field.name)) != (new := getattr(self, field.name))
        ]
        if changes:
            raise EvaluationError(
                f"{where} holds plans that were judged otherwise ({'; '.join(changes)}); give another --out, "
                "repeat the earlier command to go on with it, or drop it with --restart"
            )


@dataclass(frozen=True, slots=True, config=STRICT)
class Judged:
    """A plan by its digest, and its figures."""

    plan: str
    fidelity: Fidelity


class Journal:
    """A line of JSON a plan behind a header, held by one process.

    Attributes:
        conditions: under which its plans were judged; None of a new one, until `begin`.
        done: figures by the plans' digests.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self._path, self._handle = path, handle
        self.conditions, self.done, self._size = _read(path, handle)

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, restart: bool) -> Iterator[Journal]:
        """Opens a journal for one process alone; one that stays empty is removed at the end.

        Raises:
            EvaluationError: it is damaged.
            MachineError: another process is at work on it.
            StorageError: it can't be written.
        """
        handle = _locked(path)
        try:
            if restart:
                os.ftruncate(handle, 0)
            journal = cls(path, handle)
            yield journal
            if not journal._size:
                path.unlink(missing_ok=True)
        finally:
            os.close(handle)

    def begin(self, conditions: Conditions) -> None:
        """Writes the header, or compares it with the one that is there.

        Raises:
            EvaluationError: plans were judged otherwise.
            StorageError: it can't be written.
        """
        if self.conditions is None:
            self._append(to_plain(conditions))
            self.conditions = conditions
        conditions.check(self.conditions, self._path)

    def add(self, judged: Judged) -> None:
        """Appends a plan's figures, which are on the disk when this returns.

        Raises:
            StorageError: they can't be written; the lines before are whole.
        """
        self._append(to_plain(judged))
        self.done[judged.plan] = judged.fidelity

    def _append(self, document: object) -> None:
        data = (json.dumps(document, allow_nan=False) + "\n").encode()
        try:
            os.ftruncate(self._handle, self._size)
            os.lseek(self._handle, self._size, os.SEEK_SET)
            left = memoryview(data)
            while left:
                left = left[os.write(self._handle, left) :]
            os.fsync(self._handle)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._handle, self._size)
            raise StorageError(
                f"could not write {self._path}: {error.strerror or error}; the {len(self.done)} plans that "
                "it holds are kept. Free some space, then run the same command again: it goes on from there"
            ) from error
        self._size += len(data)


def judged_plans(path: Path) -> int:
    """How many plans a journal holds, without opening it for work; 0 if there is none."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return 0
    return max(0, len(lines) - 2)  # the header, and what follows the last line's end


def _locked(path: Path) -> int:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StorageError(
                f"can't write {path}: {error.strerror or error}; choose another --out"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            if time.monotonic() > deadline:
                raise MachineError(
                    f"another mixdq process is at work on {path}; wait until it is done, or choose another "
                    "--out"
                ) from None
            time.sleep(_PAUSE_S)
            continue
        # The one who held it may have removed the file since.
        if path.exists() and path.stat().st_ino == os.fstat(handle).st_ino:
            return handle
        os.close(handle)


def _read(path: Path, handle: int) -> tuple[Conditions | None, dict[str, Fidelity], int]:
    """Header, figures, and the bytes of the whole lines; a line that was not written to its end is none."""
    with os.fdopen(os.dup(handle), "rb") as file:
        file.seek(0)
        lines = file.read().split(b"\n")[:-1]
    if not lines:
        return None, {}, 0
    documents = []
    for number, line in enumerate(lines, start=1):
        try:
            documents.append(json.loads(line))
        except ValueError as error:
            raise EvaluationError(
                f"{path} is damaged: line {number} is no JSON; drop it with --restart, or give another --out"
            ) from error
    conditions = parse(Conditions, documents[0], f"the first line of {path}", EvaluationError)
    judged = [
        parse(Judged, document, f"line {number} of {path}", EvaluationError)
        for number, document in enumerate(documents[1:], start=2)
    ]
    return conditions, {each.plan: each.fidelity for each in judged}, sum(len(line) + 1 for line in lines)
