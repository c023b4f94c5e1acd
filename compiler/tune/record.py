"""`tune.json`: what was measured of which plans, which layers were returned why, and what was published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.compiler.legal.legalize import Change
from mixdq.compiler.tune.decision import Decision, Return
from mixdq.compiler.tune.journal import Conditions
from mixdq.compiler.tune.limits import Limits
from mixdq.compiler.tune.loop import Chosen, Round, returns_until
from mixdq.compiler.tune.trial import Trial
from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text

RECORD_FILE = "tune.json"


@dataclass(frozen=True, slots=True, config=STRICT)
class Adapted:
    """A layer that the target does not run as the plan asked, before anything was measured."""

    layer: str
    asked: str
    form: str
    reason: str


@dataclass(frozen=True, slots=True, config=STRICT)
class RecordedRound:
    """What was measured of a plan, and what followed."""

    trial: Trial
    decision: Decision


@dataclass(frozen=True, slots=True, config=STRICT)
class TuneRecord:
    """All of a tuning.

    Attributes:
        conditions: under which everything was measured.
        limits: what a published plan keeps.
        allow_slower: whether it may be slower than full precision.
        asked: digest of the plan that was given.
        adapted: what was changed of it to make it legal.
        rounds: in their order.
        published: digest of the plan that was published; None if none was.
        returned: its layers that went back to floating point, with the reasons.
        refusal: why nothing was published; empty if something was.
    """

    conditions: Conditions
    limits: Limits
    allow_slower: bool
    asked: str
    adapted: tuple[Adapted, ...]
    rounds: tuple[RecordedRound, ...]
    published: str | None
    returned: tuple[Return, ...]
    refusal: str
    version: int = 1

    @classmethod
    def of(
        cls,
        conditions: Conditions,
        limits: Limits,
        allow_slower: bool,
        asked: str,
        changes: Sequence[Change],
        rounds: Sequence[Round],
        chosen: Chosen,
    ) -> TuneRecord:
        """The record of what the loop did and what was chosen."""
        best = chosen.best
        return cls(
            conditions=conditions,
            limits=limits,
            allow_slower=allow_slower,
            asked=asked,
            adapted=tuple(Adapted(c.layer, str(c.asked), str(c.form), c.reason) for c in changes),
            rounds=tuple(RecordedRound(each.trial, each.decision) for each in rounds),
            published=None if best is None else best.plan.digest,
            returned=() if best is None else returns_until(rounds, best),
            refusal=chosen.refusal,
        )

    def write(self, root: Path) -> None:
        """Writes `tune.json`, whole or not at all."""
        write_text(root / RECORD_FILE, to_json(self))

    @classmethod
    def read(cls, root: Path) -> TuneRecord:
        """Reads `tune.json`.

        Raises:
            EvaluationError: it has another form.
            StorageError: there is none.
        """
        return read_json(cls, root / RECORD_FILE, EvaluationError)
