"""What a page is made of: sections of words, tables and figures, free of markup."""

from __future__ import annotations

from dataclasses import dataclass, field

from mixdq.eval.report.chart_shapes import Chart


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what it says.
        tone: `good`, `bad`, `soft` or empty; never the only bearer of a meaning.
        code: whether it is a digest, a path or a command.
    """

    text: str
    tone: str = ""
    code: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Figures in rows.

    Attributes:
        key: its name in the CSV and JSON files.
        caption: what it shows, of what and where.
        heads: the columns' names; the first column names the rows.
        rows: as many cells as there are heads.
        words: columns that hold words, beside the first; all others are aligned as figures.
        note: what a reader should know.
        folded: whether it is shown when asked for.
    """

    key: str
    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: frozenset[str] = frozenset()
    note: str = ""
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """Charts that belong together.

    Attributes:
        caption: what they show; charts have titles of their own.
        charts: side by side where there is room.
        legend: what colours mean where no label says it: class and words.
    """

    caption: str
    charts: tuple[Chart, ...]
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Prose:
    """A paragraph, or a warning."""

    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Heading:
    """The beginning of a part of a section."""

    text: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """Pictures in columns, one a configuration, and rows, one a prompt.

    Attributes:
        caption: what they share.
        heads: of the columns: a short name and words below it.
        rows: prompt, seed, and a `data:` address a column; empty where that set has no such picture.
        side: pixels of the pictures as they are shown.
    """

    caption: str
    heads: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, int, tuple[str, ...]], ...]
    side: int


@dataclass(frozen=True, slots=True)
class BlockOfLayers:
    """The layers of one part of the UNet.

    Attributes:
        place: column and row of where it is drawn; column 0 is both.
        title: for people.
        summary: its layers and mean bits, in words.
        chart: a column a layer: weights above, activations below.
    """

    place: tuple[int, int]
    title: str
    summary: str
    chart: Chart


@dataclass(frozen=True, slots=True)
class NetworkMap:
    """Bits drawn over the UNet's structure.

    Attributes:
        caption: which plan.
        blocks: in the order of the network.
        legend: the bits that occur: class and words.
        folded: whether it is shown when asked for.
    """

    caption: str
    blocks: tuple[BlockOfLayers, ...]
    legend: tuple[tuple[str, str], ...]
    folded: bool


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One claim of a source document beside what was found, check by check."""

    number: str
    source: str
    says: str
    theirs: str
    ours: tuple[str, ...]
    state: str
    by_how_much: str
    evidence: str
    command: str


@dataclass(frozen=True, slots=True)
class ClaimList:
    """Claims by document.

    Attributes:
        documents: each document's title and its claims.
        counts: how many have which state.
    """

    documents: tuple[tuple[str, tuple[ClaimRow, ...]], ...]
    counts: tuple[tuple[str, int], ...]


Block = Table | Figure | Prose | Heading | Sheet | NetworkMap | ClaimList


@dataclass(frozen=True, slots=True)
class Section:
    """A chapter of the page.

    Attributes:
        key: its address in the page.
        title: its heading.
        blocks: what it holds; a section without any is left out.
        lead: what it is about.
    """

    key: str
    title: str
    blocks: tuple[Block, ...]
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """What stands at the top of the page.

    Attributes:
        name: what it is about.
        words: what it says.
        section: the key of the section that says more; empty for none.
    """

    name: str
    words: str
    section: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """The whole report.

    Attributes:
        title: its heading.
        facts: what it is of, and the verdict.
        sections: in their order.
        machines: letter and words of each machine.
    """

    title: str
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]
    machines: tuple[tuple[str, str], ...] = field(default=())
