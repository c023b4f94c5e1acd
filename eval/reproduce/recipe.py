"""A recipe: which rows a table or figure has, what is measured of each, and what its source printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from importlib.resources import files
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_yaml
from mixdq.configs.errors import EvaluationError

_FOLDER = Path(str(files("mixdq.eval.reproduce"))) / "recipes"


class RecipeName(StrEnum):
    """The tables and figures; each has a file in `recipes/`."""

    TABLE1 = "table1"
    TABLE2 = "table2"
    TABLE3 = "table3"
    FIG6 = "fig6"
    FIG7 = "fig7"
    FIG8 = "fig8"
    GRID = "grid"
    QUEUE = "queue"


class Measure(StrEnum):
    """What is measured of every row."""

    QUALITY = "quality"
    MEMORY = "memory"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True, config=STRICT)
class RecipeRow:
    """A row as it is to be made, or why it is not.

    A row that is made has either `case` or `precision`.

    Attributes:
        name: unique in its recipe; rows of one name are one plan in all recipes.
        label: for people.
        case: the row of `mixdq-eval ablation` whose plan it has.
        precision: the one precision of all layers, `FP8` say, where the ablation has no such row.
        bos_aware: in place of what the case says.
        over: the row whose FID this one's is divided by, here and in the source, to compare.
        paper: the source's figures, by column.
        not_made: why the row stands there with the source's figures alone.
    """

    name: str
    label: str
    case: str | None = None
    precision: str | None = None
    bos_aware: bool | None = None
    over: str | None = None
    paper: Mapping[str, float] = field(default_factory=dict)
    not_made: str | None = None

    def __post_init__(self) -> None:
        ways = [way for way in (self.case, self.precision, self.not_made) if way is not None]
        if len(ways) != 1:
            raise ValueError(f"row {self.name} has {len(ways)} of case, precision and not_made, not one")


@dataclass(frozen=True, slots=True, config=STRICT)
class Recipe:
    """A table or figure to make again (`recipes/NAME.yaml`).

    Attributes:
        title: what it shows.
        cites: where the source's figures stand.
        count: how many prompts the source drew; 0 where it drew none.
        rows: what is made, and what stands beside it.
        columns: keys of `columns.COLUMNS`, in their order.
        measures: of every row that is made.
        remarks: what a reader should know of the source.
    """

    title: str
    cites: str
    count: int
    rows: tuple[RecipeRow, ...]
    columns: tuple[str, ...]
    measures: tuple[Measure, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def made(self) -> tuple[RecipeRow, ...]:
        """The rows that are made."""
        return tuple(row for row in self.rows if row.not_made is None)


def read_recipe(name: RecipeName) -> Recipe:
    """The recipe that ships under a name."""
    return read_yaml(Recipe, _FOLDER / f"{name}.yaml", EvaluationError)
