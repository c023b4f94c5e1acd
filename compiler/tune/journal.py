"""The trials that were measured, a line of JSON each behind the conditions that they were measured under."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.compiler.sensitivity.journal_file import JournalFile
from mixdq.compiler.tune.trial import Trial
from mixdq.configs.documents import STRICT, parse, to_plain
from mixdq.configs.errors import EvaluationError


@dataclass(frozen=True, slots=True, config=STRICT)
class Conditions:
    """All that decides what a trial gives, but its plan: the journal's first line.

    Attributes:
        model: its name.
        model_digest: of configurations and weights.
        layers_digest: of the architecture.
        ranges_digest: of the activations' ranges.
        target: with its compute capability.
        resolutions: pixels.
        batch: pictures at once.
        prompts: of the pictures.
        seed: of the first batch's noise.
        warmup: runs of each engine before those that count.
        repeats: runs that count.
        full: SHA-256 of full precision's files, by their paths.
        machine: what it was measured on.
        versions: packages, and how many threads.
        code: digest of what measures.
    """

    model: str
    model_digest: str
    layers_digest: str
    ranges_digest: str
    target: str
    resolutions: tuple[int, ...]
    batch: int
    prompts: tuple[str, ...]
    seed: int
    warmup: int
    repeats: int
    full: Mapping[str, str]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    code: str
    version: int = 1

    def check(self, kept: Conditions, where: Path) -> None:
        """Refuses to go on with what was measured otherwise.

        Raises:
            EvaluationError: names all that differs.
        """
        changes = [
            f"{field.name.replace('_', ' ')} {str(old)[:60]}, now {str(new)[:60]}"
            for field in fields(self)
            if (old := getattr(kept, field.name)) != (new := getattr(self, field.name))
        ]
        if changes:
            raise EvaluationError(
                f"{where} holds trials that were measured otherwise ({'; '.join(changes)}); give another "
                "--out, repeat the earlier command to go on with it, or drop it with --restart"
            )


class Journal:
    """What was measured, held by one process.

    Attributes:
        trials: by the plans' digests, the latest of each.
    """

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        documents = file.documents
        self._conditions = (
            parse(Conditions, documents[0], f"the first line of {file.path}", EvaluationError)
            if documents
            else None
        )
        self.trials: dict[str, Trial] = {}
        for number, document in enumerate(documents[1:], start=2):
            trial = parse(Trial, document, f"line {number} of {file.path}", EvaluationError)
            self.trials[trial.plan] = trial

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, restart: bool) -> Iterator[Journal]:
        """Opens a journal for one process alone; a file without a finished line is removed at the end.

        Raises:
            EvaluationError: it is damaged.
            MachineError: another process is at work on it.
            StorageError: it can't be written.
        """
        with JournalFile.open(path, restart=restart, things="trials") as file:
            yield cls(file)

    def begin(self, conditions: Conditions) -> None:
        """Writes the header, or compares it with the one that is there.

        Raises:
            EvaluationError: trials were measured otherwise.
            StorageError: it can't be written.
        """
        if self._conditions is None:
            self._file.append(to_plain(conditions))
            self._conditions = conditions
        conditions.check(self._conditions, self._file.path)

    def add(self, trial: Trial) -> None:
        """Appends a trial, which is on the disk when this returns.

        Raises:
            StorageError: it can't be written; the lines before are whole.
        """
        self._file.append(to_plain(trial))
        self.trials[trial.plan] = trial
