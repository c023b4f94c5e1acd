"""Reads a tutorial's blocks, in the order in which a reader does them.

A block of `console` is run: what follows `$ ` are commands, the lines behind one are what it prints. A block
with a `title` is a file that the reader writes; one of `python` without a title is a program to run. All
other blocks are shown and not run: full-size commands are in blocks of `sh`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(r"^```(?P<language>[a-z]*)(?P<rest>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r'title="([^"]+)"')
_SHOWN = ("sh", "text", "mermaid")


class TutorialError(ValueError):
    """A page with a block that nobody could follow."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something to type.

    Attributes:
        text: the command, several lines if they end with a backslash.
        expected: lines that it prints, in this order, others between them.
    """

    text: str
    expected: tuple[str, ...] = ()

    @property
    def fails(self) -> bool:
        """Whether the page shows that it is refused."""
        return any(line.startswith("error:") for line in self.expected)


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to write, its path below the checkout."""

    path: str
    text: str


Step = Command | NewFile


def read_steps(markdown: str) -> tuple[Step, ...]:
    """The steps of a page.

    Raises:
        TutorialError: a block of a language that is neither run nor shown, or output before any command.
    """
    steps: list[Step] = []
    for block in _FENCE.finditer(markdown):
        language, body = block["language"], block["body"]
        title = _TITLE.search(block["rest"])
        if title is not None:
            steps.append(NewFile(title[1], body))
        elif language == "console":
            steps += _commands(body)
        elif language == "python":
            steps.append(Command(f"python - <<'PROGRAM'\n{body}PROGRAM"))
        elif language not in _SHOWN:
            known = ", ".join(("console", "python", *_SHOWN))
            raise TutorialError(
                f"a block of {language or 'no language'!r} without a title; use one of {known}"
            )
    return tuple(steps)


def _commands(body: str) -> list[Command]:
    found: list[tuple[list[str], list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append(([line[2:]], []))
        elif not found:
            raise TutorialError(f"a console block begins with {line!r}, not with `$ ` and a command")
        elif found[-1][0][-1].endswith("\\"):
            found[-1][0].append(line)
        elif line.strip():
            found[-1][1].append(line)
    return [Command("\n".join(typed), tuple(printed)) for typed, printed in found]
