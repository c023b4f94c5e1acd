"""README and documents name no command and no flag that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from mixdq.compiler.cli import app as compile_app
from mixdq.eval.cli import app as eval_app
from mixdq.runtime.cli import app as serve_app

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
APPS = {"mixdq-compile": compile_app, "mixdq-eval": eval_app, "mixdq-serve": serve_app}
_CALL = re.compile(r"(mixdq-(?:compile|eval|serve))((?:[ \t]+[^\s`|&;#<>]+)+)")


def _flags() -> dict[str, dict[str, set[str]]]:
    """The flags of each command of each program."""
    found: dict[str, dict[str, set[str]]] = {}
    for program, app in APPS.items():
        commands = getattr(typer.main.get_command(app), "commands", {})
        found[program] = {
            name: {flag for parameter in command.params for flag in parameter.opts}
            for name, command in commands.items()
        }
    return found


def _calls(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each call of a program, and its words."""
    for match in _CALL.finditer(text.replace("\\\n", " ")):
        yield match[1], match[2].split()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_flag_on_a_page_exists(page: Path) -> None:
    flags = _flags()
    for program, words in _calls(page.read_text()):
        command = words[0] if words[0] in flags[program] else "serve" if program == "mixdq-serve" else None
        if command is None:
            # Prose ("mixdq-eval has one package a question"), or an option of the program itself.
            assert words[0] == "--help" or not any(word.startswith("--") for word in words), words
            continue
        for word in words:
            if re.fullmatch(r"--[a-z][a-z-]*[a-z]", word) and word != "--help":
                assert word in flags[program][command], f"{program} {command} has no {word}"


def test_the_pages_name_many_commands() -> None:
    named = {(program, words[0]) for page in PAGES for program, words in _calls(page.read_text())}
    known = {(program, name) for program, commands in _flags().items() for name in commands}
    assert len(named & known) > 25


def test_a_command_is_found_over_several_lines() -> None:
    (call,) = _calls("$ mixdq-compile run X \\\n    --out Y && z")
    assert call == ("mixdq-compile", ["run", "X", "--out", "Y"])
