"""Each tutorial is followed from top to bottom, and prints what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from .reading import Command, NewFile, read_steps
from .running import perform

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
# In this order, which spares time: the first calibrates as other tests do, the last has other weights.
PAGES = (
    "serve-and-load-test",
    "budget-by-memory",
    "add-a-pass",
    "add-a-target",
    "compile-your-own-sdxl-checkpoint",
)


@pytest.mark.parametrize("page", PAGES)
def test_a_tutorial_does_what_it_says(page: str, checkout: Path, free_port: int) -> None:
    steps = read_steps((FOLDER / f"{page}.md").read_text())
    done = perform(steps, checkout, free_port)
    for each in done:
        assert (fault := each.fault()) is None, f"$ {each.command.text}\n{fault}; it printed:\n{each.output}"
    assert len(done) == sum(isinstance(step, Command) for step in steps)
    for step in steps:
        assert not isinstance(step, NewFile) or (checkout / step.path).exists()


def test_every_tutorial_is_followed() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == {*PAGES, "README"}
