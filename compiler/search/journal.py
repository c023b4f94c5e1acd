"""What was judged already: every figure is on the disk before the next plan is judged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.compiler.sensitivity.journal_file import JournalFile, lines_behind_header
from mixdq.configs.documents import STRICT, parse, to_plain
from mixdq.configs.errors import EvaluationError
from mixdq.export.judgement import Fidelity


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

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        self.conditions, self.done = _parse(file)

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, restart: bool) -> Iterator[Journal]:
        """Opens a journal for one process alone; a file without a finished line is removed at the end.

        Raises:
            EvaluationError: it is damaged.
            MachineError: another process is at work on it.
            StorageError: it can't be written.
        """
        with JournalFile.open(path, restart=restart, things="plans") as file:
            yield cls(file)

    def begin(self, conditions: Conditions) -> None:
        """Writes the header, or compares it with the one that is there.

        Raises:
            EvaluationError: plans were judged otherwise.
            StorageError: it can't be written.
        """
        if self.conditions is None:
            self._file.append(to_plain(conditions))
            self.conditions = conditions
        conditions.check(self.conditions, self._file.path)

    def add(self, judged: Judged) -> None:
        """Appends a plan's figures, which are on the disk when this returns.

        Raises:
            StorageError: they can't be written; the lines before are whole.
        """
        self._file.append(to_plain(judged))
        self.done[judged.plan] = judged.fidelity


def judged_plans(path: Path) -> int:
    """How many plans a journal holds, without opening it for work; 0 if there is none."""
    return lines_behind_header(path)


def _parse(file: JournalFile) -> tuple[Conditions | None, dict[str, Fidelity]]:
    if not file.documents:
        return None, {}
    conditions = parse(Conditions, file.documents[0], f"the first line of {file.path}", EvaluationError)
    judged = [
        parse(Judged, document, f"line {number} of {file.path}", EvaluationError)
        for number, document in enumerate(file.documents[1:], start=2)
    ]
    return conditions, {each.plan: each.fidelity for each in judged}
