"""The page that maps the earlier scripts names no command and no flag that does not exist."""

import re
from pathlib import Path

import pytest
import typer.main
from typer import Typer

from mixdq.compiler.cli import app as compile_app
from mixdq.eval.cli import app as eval_app

PAGE = Path(__file__).parents[3] / "docs" / "earlier-scripts.md"
APPS = {"mixdq-compile": compile_app, "mixdq-eval": eval_app}
EARLIER = (
    "txt2img.py",
    "quant_txt2img.py",
    "eval_fp16_mixdq_cleanfid.py",
    "eval_grid.py",
    "latency_probe.py",
    "load_test_stub.py",
    "plot_mixdq_queue_results.py",
    "bits_server.py",
    "eval_metrics.py",
    "gen_calib_data.py",
    "ptq.py",
)


def _flags(app: Typer) -> dict[str, set[str]]:
    """The flags of each command."""
    group = typer.main.get_command(app)
    commands = getattr(group, "commands", {})
    return {
        name: {flag for parameter in command.params for flag in parameter.opts}
        for name, command in commands.items()
    }


def _rows() -> list[tuple[str, str]]:
    """What was, and what is now."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "---" not in line]
    cells = [line.strip("| ").split(" | ", 1) for line in lines]
    return [(row[0], row[1]) for row in cells]


@pytest.mark.parametrize("script", EARLIER)
def test_every_earlier_script_has_a_row(script: str) -> None:
    assert any(f"`{script}" in earlier for earlier, _ in _rows())


def test_every_command_and_flag_on_the_page_exists() -> None:
    flags = {program: _flags(app) for program, app in APPS.items()}
    known = set().union(*(found for commands in flags.values() for found in commands.values()))
    checked = 0
    for _, now in _rows():
        for quoted in re.findall(r"`([^`]+)`", now):
            found = re.match(r"(mixdq-compile|mixdq-eval)(?: ([a-z]+(?:-[a-z]+)*))?", quoted)
            allowed = known
            if found is not None and found[2] is not None:
                assert found[2] in flags[found[1]], quoted
                allowed = flags[found[1]][found[2]]
            for flag in re.findall(r"--[a-z-]+", quoted):
                assert flag in allowed, f"{flag} in {quoted!r}"
                checked += 1
    assert checked > 40
