"""What each target runs (`capabilities/*.yaml`): which form of which kind of layer, and how that is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_yaml
from mixdq.configs.errors import TargetError
from mixdq.configs.form import Form
from mixdq.configs.layers import Kind
from mixdq.configs.plan import PrecisionPlan

_FOLDER = Path(str(files("mixdq.configs"))) / "capabilities"


class SourceKind(StrEnum):
    """Whether a builder was asked, or documents read."""

    PROBED = "probed"
    DOCUMENTED = "documented"


@dataclass(frozen=True, slots=True, config=STRICT)
class Source:
    """How an entry is known.

    Attributes:
        kind: see `SourceKind`.
        what: the product and version that was asked, or what which document says.
    """

    kind: SourceKind
    what: str


@dataclass(frozen=True, slots=True, config=STRICT)
class Entry:
    """One form of one or both kinds of layer, on all compute capabilities of a back end.

    Attributes:
        kinds: the kinds of layer that it is about.
        form: how they would run.
        legal: the compute capabilities that take it, as SM numbers; true for all, false for none.
        source: how that is known.
        emitted: whether mixdq's passes write such graphs today.
        refused: why the others don't take it, in the words of the builder or the document, with the
            compute capabilities that refuse it so; none of them for all.
    """

    kinds: tuple[Kind, ...]
    form: Form
    legal: bool | tuple[int, ...]
    source: Source
    emitted: bool = False
    refused: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def takes(self, sm: int | None) -> bool:
        """Whether a compute capability takes it."""
        return self.legal if isinstance(self.legal, bool) else sm in self.legal

    def reason(self, sm: int | None) -> str:
        """Why a compute capability does not take it; empty if it does."""
        return "" if self.takes(sm) else self.reasons(sm)[0]

    def reasons(self, sm: int | None) -> list[str]:
        """What `refused` says of a compute capability: by its number, or else of all."""
        named = [why for why, where in self.refused.items() if sm in where]
        return named or [why for why, where in self.refused.items() if not where]


@dataclass(frozen=True, slots=True, config=STRICT)
class BackendTable:
    """One back end's forms.

    Attributes:
        backend: as a target names it: `rtx`.
        product: as people name it.
        capabilities: the compute capabilities that it builds for, as SM numbers, ascending; none of a CPU.
        float_bytes: of its floating-point type, in which the scales are stored too.
        built: whether mixdq has such a back end; if not, it is planned.
        entries: each kind and form at most once.
    """

    backend: str
    product: str
    capabilities: tuple[int, ...]
    float_bytes: int
    built: bool
    entries: tuple[Entry, ...]

    @model_validator(mode="after")
    def _consistent(self) -> BackendTable:
        seen = [(kind, entry.form) for entry in self.entries for kind in entry.kinds]
        if twice := {f"{form} of {kind}" for kind, form in seen if seen.count((kind, form)) > 1}:
            raise ValueError(f"{', '.join(sorted(twice))} occurs twice")
        for entry in self.entries:
            self._check(entry)
        return self

    def _check(self, entry: Entry) -> None:
        everywhere = self.capabilities or (None,)
        named = {*(() if isinstance(entry.legal, bool) else entry.legal)}.union(*entry.refused.values())
        if unknown := named - set(self.capabilities):
            raise ValueError(f"{entry.form} names the compute capabilities {sorted(unknown)}, which are none")
        for sm in everywhere:
            if entry.takes(sm) and any(sm in where for where in entry.refused.values()):
                raise ValueError(f"{entry.form} is both legal and refused on {sm}")
            if not entry.takes(sm) and len(entry.reasons(sm)) != 1:
                raise ValueError(f"{entry.form} has {len(entry.reasons(sm))} reasons for its refusal on {sm}")
        if entry.emitted and not any(entry.takes(sm) for sm in everywhere):
            raise ValueError(f"{entry.form} is emitted, and nothing takes it")


@plain_dataclass(frozen=True, slots=True)
class Capability:
    """What one target runs; prints and is found as `rtx:sm89`.

    Attributes:
        table: its back end's.
        sm: its compute capability; None of a CPU.
    """

    table: BackendTable
    sm: int | None

    def entries(self, kind: Kind) -> Iterator[Entry]:
        """All that is known of a kind of layer, legal or not."""
        return (entry for entry in self.table.entries if kind in entry.kinds)

    def forms(self, kind: Kind, *, unwritten: bool) -> tuple[Form, ...]:
        """The legal forms of a kind of layer, in the table's order.

        Args:
            kind: of layer.
            unwritten: also those that mixdq's passes can't write yet.
        """
        entries = self.entries(kind)
        return tuple(e.form for e in entries if e.takes(self.sm) and (e.emitted or unwritten))

    def __str__(self) -> str:
        return self.table.backend if self.sm is None else f"{self.table.backend}:sm{self.sm}"


def find_capability(text: str) -> Capability:
    """What `rtx:sm89`, `tensorrt:sm90`, `cpu` or `cuda:sm80` runs.

    Raises:
        TargetError: no such back end; or it has no such compute capability, or none was said: the nearest.
    """
    tables = {table.backend: table for table in shipped_capabilities()}
    name, _, capability = text.partition(":")
    if name not in tables:
        raise TargetError(f"unknown target {text!r}; use one of {', '.join(_targets())}")
    table, digits = tables[name], capability.removeprefix("sm")
    if not table.capabilities and not capability:
        return Capability(table, None)
    if capability.startswith("sm") and digits.isdigit() and int(digits) in table.capabilities:
        return Capability(table, int(digits))
    raise TargetError(_unknown(text, table, capability))


@cache
def shipped_capabilities() -> tuple[BackendTable, ...]:
    """The tables that ship with mixdq, by the names of their back ends."""
    return tuple(read_capabilities(path) for path in sorted(_FOLDER.glob("*.yaml")))


def read_capabilities(path: Path) -> BackendTable:
    """Reads one back end's table.

    Raises:
        TargetError: the file is no such table, contradicts itself, or leaves a refusal without a reason.
        StorageError: it can't be read.
    """
    return read_yaml(BackendTable, path, TargetError)


def check_realization(plan: PrecisionPlan, target: str) -> None:
    """Refuses a plan that was made legal for another target, or in forms that mixdq can't write.

    Args:
        plan: any; one that was made legal for no target passes.
        target: `rtx:sm89`; `tensorrt` for the GPU that is built on.

    Raises:
        TargetError: names both targets, or the first layer and how many there are.
    """
    plan.check_target(target)
    if plan.realization is None:
        return
    own = find_capability(plan.realization.target)
    written = {form for kind in Kind for form in own.forms(kind, unwritten=False)}
    if other := [name for name, form in plan.realization.forms.items() if form not in written]:
        raise TargetError(
            f"the plan was made legal for {own} with {plan.realization.forms[other[0]]} of {other[0]} (of "
            f"{len(other)} layers), which mixdq can't write yet; run `mixdq-compile legalize --target {own}` "
            "on it, without --unwritten"
        )


def capabilities_of(table: BackendTable) -> tuple[Capability, ...]:
    """One a compute capability; a single one of a CPU."""
    return tuple(Capability(table, sm) for sm in table.capabilities or (None,))


def _targets() -> list[str]:
    return [str(one) for table in shipped_capabilities() for one in capabilities_of(table)]


def _unknown(text: str, table: BackendTable, capability: str) -> str:
    known = ", ".join(str(one) for one in capabilities_of(table))
    if not table.capabilities:
        return f"unknown target {text!r}: {table.backend} has no compute capabilities; write {table.backend}"
    digits = capability.removeprefix("sm").replace(".", "")
    if not digits.isdigit():
        said = f"{capability!r} is none" if capability else "none was said"
        return f"target {text!r} needs a compute capability, and {said}; write one of {known}"
    nearest = min(table.capabilities, key=lambda sm: (abs(sm - int(digits)), sm))
    return (
        f"{table.product} has no compute capability {capability!r} here; the nearest is "
        f"{Capability(table, nearest)} (of {known})"
    )
