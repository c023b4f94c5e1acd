"""How near each form of layers keeps a model to full precision: a document, and a table for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic.dataclasses import dataclass
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table

from mixdq.compiler.search.journal import Conditions
from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.files import write_text
from mixdq.export.judgement import Fidelity, Measure

_SHOWN = {
    Measure.SQNR: "SQNR dB",
    Measure.PSNR: "PSNR dB",
    Measure.SSIM: "SSIM",
    Measure.WINDOWED_SSIM: "windowed SSIM",
}


@dataclass(frozen=True, slots=True, config=STRICT)
class JudgedForm:
    """A form, as `mixdq.eval.form_cases` has it, and what it is worth.

    Attributes:
        precision: bits.
        what: scales and centres in words.
        plan: digest of the plan.
        weight_bytes: of all layers' weights and scales.
        fidelity: means over the prompts.
    """

    precision: str
    what: str
    plan: str
    weight_bytes: int
    fidelity: Fidelity


@dataclass(frozen=True, slots=True, config=STRICT)
class FormReport:
    """Everything that was measured (`forms.json`).

    Attributes:
        model: name.
        target: whose quantizer was simulated.
        conditions: under which plans were judged.
        forms: one by one.
    """

    model: str
    target: str
    conditions: Conditions
    forms: tuple[JudgedForm, ...]
    version: int = 1

    def write(self, path: Path) -> None:
        """Writes the JSON document."""
        write_text(path, to_json(self))

    def in_words(self) -> Iterator[RenderableType]:
        """What was judged on what, and a table."""
        on = self.conditions
        yield (
            f"{len(self.forms)} forms of {self.model} on {self.target}, each judged on {on.prompts} prompts "
            f"at {on.resolution} pixels on {on.device}"
        )
        view = Table("", "form", "weights MB", *_SHOWN.values(), box=SIMPLE_HEAD)
        for column in view.columns[2:]:
            column.justify = "right"
        for each in self.forms:
            view.add_row(*_cells(each))
        yield view

    def write_table(self, path: Path) -> None:
        """Writes the table in Markdown."""
        head = ["", "form", "weights MB", *_SHOWN.values()]
        rules = ["---", "---", *["---:"] * (1 + len(_SHOWN))]
        lines = [head, rules, *(_cells(each) for each in self.forms)]
        write_text(path, "".join(f"| {' | '.join(cells)} |\n" for cells in lines))


def _cells(each: JudgedForm) -> list[str]:
    figures = [
        f"{each.fidelity[measure]:.{4 if 'SSIM' in title else 2}f}" for measure, title in _SHOWN.items()
    ]
    return [each.precision, each.what, f"{each.weight_bytes / 1e6:.2f}", *figures]
