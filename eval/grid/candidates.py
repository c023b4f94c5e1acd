"""The rows that a grid is asked for: plans by their bits, plan files, bundles that are there already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.plan_words import PlanWords
from mixdq.compiler.recipe import Uniform
from mixdq.compiler.searched_plan import ChosenPlan
from mixdq.configs.errors import EvaluationError
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FLOAT_BITS
from mixdq.configs.shipped_search import plan_name
from mixdq.configs.target import Target

FULL = "full"
"""The name of full precision."""

_GENERIC = {"plan", "bundle"}
"""File names that say nothing: the folder's says more."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row of the grid, before it is compiled.

    Attributes:
        name: of its bundle, its pictures and its cells.
        words: where it is from.
        plan: what to compile; None for a bundle that is there.
        bundle: the folder of such a bundle.
    """

    name: str
    words: str
    plan: Uniform | PrecisionPlan | None
    bundle: Path | None


@dataclass(frozen=True, slots=True)
class Rows:
    """What is asked for, as the command line says it.

    Attributes:
        bits: mean weight bits, each a row; 16 is full precision.
        activation_bits: of all these rows but full precision.
        plans: plan files, each a row.
        bundles: bundles' folders, each a row.
    """

    bits: tuple[float, ...]
    activation_bits: float
    plans: tuple[Path, ...]
    bundles: tuple[Path, ...]


def candidates_of(
    rows: Rows, model: ModelIdentity | None, targets: Sequence[Target]
) -> tuple[Candidate, ...]:
    """The rows, no two of which are one plan or have one name.

    Args:
        rows: what is asked for.
        model: whose plans are chosen; None if there are bundles alone.
        targets: what plans of mean bits must be held by.

    Raises:
        EvaluationError: two rows of one name, or of one plan under two names.
        PlanError: bits that no plan has, or a file that is none.
    """
    found = list(_candidates(rows, model, targets))
    for place, one in enumerate(found):
        for other in found[:place]:
            if one.name == other.name:
                raise EvaluationError(
                    f"two rows would be called {one.name} ({other.words}; {one.words}); name each once, and "
                    "rename files or folders that have the same name"
                )
            if one.plan is not None and one.plan == other.plan:
                raise twins(other.name, one.name, f"{other.words}; {one.words}")
    return tuple(found)


def twins(first: str, second: str, how: str) -> EvaluationError:
    """The error for one configuration under two names."""
    return EvaluationError(
        f"{first} and {second} are the same configuration under two names ({how}); a grid holds each once: "
        "leave one of them out"
    )


def _candidates(rows: Rows, model: ModelIdentity | None, targets: Sequence[Target]) -> Iterator[Candidate]:
    for bits in rows.bits if model is not None else ():
        assert model is not None
        full = bits == FLOAT_BITS
        activation = float(FLOAT_BITS) if full else rows.activation_bits
        chosen = _choose(model, targets, None, bits, activation)
        yield Candidate(FULL if full else plan_name(bits, activation), chosen.words, chosen.plan, None)
    for file in rows.plans if model is not None else ():
        assert model is not None
        yield Candidate(_name(file), str(file), _choose(model, targets, file, None, None).plan, None)
    for folder in rows.bundles:
        yield Candidate(folder.absolute().name, f"bundle {folder}", None, folder)


def _choose(
    model: ModelIdentity,
    targets: Sequence[Target],
    file: Path | None,
    weight_bits: float | None,
    activation_bits: float | None,
) -> ChosenPlan:
    """A plan by the rule of `mixdq-compile run`."""
    words = PlanWords(
        file=file,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        uniform=False,
        keep=None,
        protect=None,
        no_protect=False,
        no_bos_aware=False,
        no_split=False,
    )
    return words.choose(model, targets)


def _name(file: Path) -> str:
    return file.absolute().parent.name if file.stem in _GENERIC else file.stem
