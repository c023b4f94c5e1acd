"""Does what a tutorial says, all of it in one shell, and compares what is printed with what is shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .reading import Command, NewFile, Step

_MARK = "\x1e"  # ASCII's record separator: no command prints it
_NUMBER = re.compile(r"\d[\d,.]*")
_DIGEST = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{12}\b")
_LIMIT_S = 300


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a command.

    Attributes:
        command: as the page has it.
        code: its exit code; None if the shell ended before.
        output: what it printed, errors too.
    """

    command: Command
    code: int | None
    output: str

    def fault(self) -> str | None:
        """What differs from the page, in words; None if nothing does."""
        wanted = "an error" if self.command.fails else "exit code 0"
        if self.code is None or (self.code != 0) != self.command.fails:
            return f"expected {wanted}, found {self.code}"
        missing = first_missing(self.command.expected, self.output)
        return None if missing is None else f"does not print {missing!r}"


def perform(steps: Sequence[Step], checkout: Path, port: int) -> list[Done]:
    """Does the steps one after another, up to the end or the first command that the shell does not survive.

    Args:
        steps: of one page.
        checkout: the folder to be in, a copy of the sources, which are what the commands run.
        port: takes the place of the page's 8000.
    """
    commands: list[Command] = []
    script = ["exec 2>&1", "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT"]
    for number, step in enumerate(steps):
        if isinstance(step, NewFile):
            # Here and not before: a later file of the same name replaces an earlier one in its turn.
            script.append(f"mkdir -p \"$(dirname '{step.path}')\"")
            script.append(f"cat > '{step.path}' <<'END_OF_{number}'\n{step.text}END_OF_{number}")
            continue
        text = re.sub(r"\b8000\b", str(port), step.text)
        script += [f"printf '{_MARK}'", text, f"printf '{_MARK}%d' $?"]
        commands.append(step)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": ".typing",
        "COLUMNS": "200",
        "HF_HUB_OFFLINE": "1",
    }
    ended = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    return [_done(command, part) for command, part in zip(commands, _parts(ended.stdout), strict=False)]


def first_missing(expected: Sequence[str], output: str) -> str | None:
    """The first expected line that the output lacks behind those before it; None if it has all.

    A line is found where a printed line holds it, spaces apart. A number stands for any number, a digest of
    twelve characters for any, and `…` for anything.
    """
    printed = iter([_plain(line) for line in output.splitlines()])
    for line in expected:
        pattern = re.compile(".*".join(map(_loosely, _plain(line).split("…"))))
        if not any(pattern.search(found) for found in printed):
            return line
    return None


def _loosely(text: str) -> str:
    text = _DIGEST.sub("\x00", text)
    text = re.escape(_NUMBER.sub("\x01", text))
    return text.replace("\x00", r"[0-9a-f]{12}").replace("\x01", r"\d[\d,.]*")


def _plain(line: str) -> str:
    return " ".join(line.split())


def _parts(output: str) -> list[tuple[str, int | None]]:
    """Output and exit code of each command, told apart by the marks."""
    _, *rest = output.split(_MARK)
    parts: list[tuple[str, int | None]] = []
    for text, after in zip(rest[::2], [*rest[1::2], ""][: len(rest[::2])], strict=True):
        code = re.match(r"\d+", after)
        parts.append((text, int(code[0]) if code else None))
    return parts


def _done(command: Command, part: tuple[str, int | None]) -> Done:
    return Done(command, part[1], part[0])
