"""The claims name no test and no command that does not exist."""

import ast
import importlib.util
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import typer
import typer.main
from typer.exceptions import TyperException
from typer.testing import CliRunner

from mixdq.compiler.cli import app as compile_app
from mixdq.configs.claim import named_commands, named_tests, read_claims
from mixdq.eval.cli import app as eval_app
from mixdq.runtime.cli import app as serve_app

ROOT = Path(__file__).parents[3]
APPS = {"mixdq-compile": compile_app, "mixdq-eval": eval_app, "mixdq-serve": serve_app}
CLAIMS = read_claims()


@cache
def _functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


@pytest.mark.parametrize("test", named_tests(CLAIMS))
def test_every_test_that_is_named_exists(test: str) -> None:
    path, name = test.split("::")
    assert (ROOT / path).is_file()
    assert name in _functions(path)


@pytest.mark.parametrize("command", named_commands(CLAIMS))
def test_every_command_exists_with_its_options(command: str) -> None:
    program, *words = shlex.split(command)
    if program in APPS:
        check_command(program, words)
    elif program == "python":
        assert words[0] == "-c" or importlib.util.find_spec(words[1]) is not None
    else:
        assert program in ("pip", "make")


def check_command(program: str, words: list[str]) -> None:
    """Parses a command as the program would; a value need not exist."""
    group = typer.main.get_command(APPS[program])
    commands = getattr(group, "commands", {})
    # `mixdq-serve DIR` is `mixdq-serve serve DIR`.
    words = words if program != "mixdq-serve" or words[0] in commands else ["serve", *words]
    assert words[0] in commands, f"{program} has no command {words[0]}"
    name, given = words[0], words[1:]
    command = commands[name]
    context = typer.Context(command, info_name=name)
    values, rest, _ = command.make_parser(context).parse_args(list(given))
    assert rest == [], f"{rest} is too much for {program} {name}"
    missing = [each.name for each in command.params if each.required and not values.get(each.name)]
    assert missing == [], f"{program} {name} needs {missing}"


@pytest.mark.parametrize(
    "words",
    [["structure"], ["structure", "--out", "x", "--unknown", "y"], ["structure", "--out", "x", "further"]],
)
def test_a_command_that_would_be_refused_is_found_out(words: list[str]) -> None:
    with pytest.raises((AssertionError, TyperException)):
        check_command("mixdq-eval", words)


def test_files_that_commands_name_are_in_the_repository() -> None:
    named = {
        word
        for command in named_commands(CLAIMS)
        for word in re.findall(r"(?:configs|docs)/[\w./-]+", command)
        if not word.endswith("claims.md")
    }
    assert named
    assert [word for word in sorted(named) if not (ROOT / word).exists()] == []


def test_the_committed_page_is_what_the_committed_results_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    page = tmp_path / "claims.md"
    command = ["claims", "docs/results", "docs/performance", "--out", str(page)]
    assert CliRunner().invoke(eval_app, command).exit_code == 0
    said = page.read_text(encoding="utf-8").replace(str(page), "docs/claims.md")
    assert said == (ROOT / "docs" / "claims.md").read_text(encoding="utf-8"), (
        "make docs/claims.md again: mixdq-eval claims docs/results docs/performance --out docs/claims.md"
    )
