"""What the source documents claim, as data: one claim a row, each with the checks that decide it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from importlib.resources import files
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_yaml
from mixdq.configs.errors import EvaluationError

Wanted = str | int | float | bool | None | tuple[str | int | float, ...]
"""What a row must have: a value, a pattern with `*`, or one of several values."""

_TEST = re.compile(r"tests/[\w/]+\.py::test_\w+")


@dataclass(frozen=True, slots=True, config=STRICT)
class ShownBy:
    """Tests that show it; a check of mixdq's own tests finds out if one is renamed.

    Attributes:
        tests: `tests/FILE.py::test_NAME`.
    """

    tests: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuses what names no test.

        Raises:
            EvaluationError: no test, or one of another form.
        """
        if not self.tests or not all(_TEST.fullmatch(test) for test in self.tests):
            raise EvaluationError(f"{self.tests} are no names of tests; write tests/FILE.py::test_NAME")


@dataclass(frozen=True, slots=True, config=STRICT)
class Figure:
    """A figure of a results document, and its bound.

    Attributes:
        document: its kind, as `mixdq.eval.report.found` calls it.
        take: the field, of a row, that is the figure; with dots into what the row holds (`costs.bops`).
        rows: the lists to go through, outermost first, with dots (`rows.scores`); empty if the document is a
            list itself. What is around a list is part of each of its rows.
        where: what the rows must have, by field.
        per: a field of the same row by which the figure is divided; empty for none.
        less: a field of the same row that is subtracted; empty for none.
        per: a field of the same row that the figure is divided by; empty for none.
        over: of the rows that the figure is divided by, what is other than in `where`; None for no division.
        minus: likewise, of the rows that are subtracted.
        by: fields by which rows are paired with those of `over` or `minus`; one row each.
        at_least: the least that is right; of several rows the lowest counts.
        at_most: the most that is right; of several rows the highest counts.
        unit: of the figure, for people.
    """

    document: str
    take: str
    rows: str = ""
    where: Mapping[str, Wanted] = field(default_factory=dict)
    per: str = ""
    less: str = ""
    over: Mapping[str, Wanted] | None = None
    minus: Mapping[str, Wanted] | None = None
    by: tuple[str, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        """Refuses a figure without a bound, or of three rows.

        Raises:
            EvaluationError: neither bound is given, or both `over` and `minus`.
        """
        if self.at_least is None and self.at_most is None:
            raise EvaluationError(f"{self.take} of {self.document} has no bound; give at_least or at_most")
        if self.over is not None and self.minus is not None:
            raise EvaluationError(f"{self.take} of {self.document} has both over and minus; give one of them")


@dataclass(frozen=True, slots=True, config=STRICT)
class NotHere:
    """What only another machine, or files that are not at hand, can show.

    Attributes:
        needs: what is missing here, for people.
    """

    needs: str


@dataclass(frozen=True, slots=True, config=STRICT)
class Lacking:
    """What mixdq does not do.

    Attributes:
        lacks: what is missing in it, for people.
    """

    lacks: str


@dataclass(frozen=True, slots=True, config=STRICT)
class Check:
    """One thing that a claim comes to, and how it is decided.

    Attributes:
        what: that is asked, for people.
        rule: what decides it.
        theirs: the source's figure; empty if it gives none.
        needs: what is missing where the document is made; then a figure that is in no folder is not
            measurable here. Empty if any machine can make it.
        beside: whether it is about another model than the source's, and so shown beside without deciding.
        command: what measures it; empty for the claim's own.
    """

    what: str
    rule: ShownBy | Figure | NotHere | Lacking
    theirs: str = ""
    needs: str = ""
    beside: bool = False
    command: str = ""


@dataclass(frozen=True, slots=True, config=STRICT)
class Claim:
    """One claim or feature of a source document.

    Attributes:
        number: of the row, from 1.
        source: document and place.
        says: what it claims, in our words.
        theirs: its figures; empty if it gives none.
        tier: 0: needs neither weights nor a GPU; 1: a small model on a CPU; 2: SDXL-Turbo's weights or a GPU.
        command: what measures it here or where its needs are met.
        checks: what decides it; all of them but those that are beside.
    """

    number: int
    source: str
    says: str
    tier: int
    command: str
    checks: tuple[Check, ...]
    theirs: str = ""

    def __post_init__(self) -> None:
        """Refuses a claim that nothing decides.

        Raises:
            EvaluationError: no check, or none but those beside.
        """
        if all(check.beside for check in self.checks):
            raise EvaluationError(f"claim {self.number} has no check that decides it; give one")


@dataclass(frozen=True, slots=True, config=STRICT)
class _File:
    """A file of claims."""

    claims: tuple[Claim, ...]


def read_claims(folder: Path | None = None) -> tuple[Claim, ...]:
    """All claims, by number; those that ship, or of a folder's files.

    Raises:
        EvaluationError: a file has another form, or a number occurs twice.
        StorageError: a file can't be read.
    """
    shipped = Path(str(files("mixdq.configs") / "claims"))
    paths = sorted((folder or shipped).glob("*.yaml"))
    claims = [claim for path in paths for claim in read_yaml(_File, path, EvaluationError).claims]
    numbers = [claim.number for claim in claims]
    if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
        raise EvaluationError(f"claim {twice[0]} is there twice; give each its own number")
    return tuple(sorted(claims, key=lambda claim: claim.number))


def named_tests(claims: Sequence[Claim]) -> tuple[str, ...]:
    """Every test that a check names, once."""
    checks = (check for claim in claims for check in claim.checks)
    named = (test for check in checks if isinstance(check.rule, ShownBy) for test in check.rule.tests)
    return tuple(dict.fromkeys(named))


def named_commands(claims: Sequence[Claim]) -> tuple[str, ...]:
    """Every command that a claim or check names, once."""
    named = (
        command for claim in claims for command in (claim.command, *(check.command for check in claim.checks))
    )
    return tuple(dict.fromkeys(filter(None, named)))
