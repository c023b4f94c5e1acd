"""A page as one HTML file, and its figures as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from mixdq.eval.report.view import ClaimList, Page, Section, Table

_ASSETS = files("mixdq.eval").joinpath("report", "page")


def to_html(page: Page, command: str) -> str:
    """The page with all that it shows; it loads nothing.

    Args:
        page: what it shows.
        command: that made it.
    """
    environment = Environment(
        loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["px"] = _pixels
    has_claims = any(isinstance(block, ClaimList) for section in page.sections for block in section.blocks)
    # The two files are ours: nothing in them is to be escaped.
    return environment.get_template("report.html").render(
        page=page,
        style=Markup(_asset("style.css")),
        script=Markup(_asset("filter.js")) if has_claims else "",
        version=version("mixdq"),
        command=command,
    )


def to_json(page: Page, command: str) -> str:
    """Every table and claim, with the page's facts."""
    plain = {
        "version": 1,
        "title": page.title,
        "command": command,
        "mixdq": version("mixdq"),
        "facts": {fact.name: fact.words for fact in page.facts},
        "machines": dict(page.machines),
        "sections": [_plain(section) for section in page.sections],
    }
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


def to_csv(page: Page) -> str:
    """Every figure of every table, one a line: table, number of the row, its name, column, value."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("table", "row", "name", "column", "value"))
    for section in page.sections:
        for table in _tables(section):
            for place, (name, *texts) in enumerate(table.rows, start=1):
                writer.writerows(
                    (table.name, place, name, head, text)
                    for head, text in zip(table.heads[1:], texts, strict=True)
                )
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class _Plain:
    """A table as texts; the first of each row is its name."""

    name: str
    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


_CLAIM = ("number", "source", "says", "theirs", "ours", "state", "by_how_much", "evidence", "command")


def _tables(section: Section) -> Iterator[_Plain]:
    for block in section.blocks:
        if isinstance(block, Table):
            rows = tuple(tuple(cell.text for cell in row) for row in block.rows)
            yield _Plain(block.key, block.caption, block.heads, rows)
        elif isinstance(block, ClaimList):
            claims = (claim for _, each in block.documents for claim in each)
            rows = tuple(tuple(_text(getattr(claim, name)) for name in _CLAIM) for claim in claims)
            yield _Plain("claims", section.lead, _CLAIM, rows)


def _text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else "; ".join(value)


def _plain(section: Section) -> dict[str, object]:
    return {"key": section.key, "title": section.title, "tables": [asdict(one) for one in _tables(section)]}


def _asset(name: str) -> str:
    return _ASSETS.joinpath(name).read_text(encoding="utf-8")


def _pixels(value: float) -> str:
    """A coordinate to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")
