"""How near deployed graphs come to the plans that were wished for: a document, a CSV, a table for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from pydantic.dataclasses import dataclass
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table

from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.files import write_text
from mixdq.configs.quantizing import Activations

_COLUMNS = (
    *("plan", "target", "layers_changed", "weight_bytes", "forms"),
    *("ideal_db", "ideal_db_q1", "ideal_db_q3", "own_db", "full_db", "ideal_to_full_db", "not_deployed"),
)


@dataclass(frozen=True, slots=True, config=STRICT)
class Deployed:
    """One graph of one plan; PSNR in dB of each prompt's picture.

    Attributes:
        plan: the wish's name.
        plan_digest: its digest.
        targets: those that run this graph.
        forms: how many layers have which form.
        changed: layers that don't run as they were asked.
        weight_bytes: of all layers' weights and scales.
        ideal_db: the graph against the simulation of the wish, with asymmetric activations.
        own_db: the graph against the simulation of the plan that it holds.
        full_db: the graph against full precision.
        ideal_to_full_db: the simulation of the wish against full precision.
    """

    plan: str
    plan_digest: str
    targets: tuple[str, ...]
    forms: Mapping[str, int]
    changed: int
    weight_bytes: int
    ideal_db: tuple[float, ...]
    own_db: tuple[float, ...]
    full_db: tuple[float, ...]
    ideal_to_full_db: tuple[float, ...]


@dataclass(frozen=True, slots=True, config=STRICT)
class NotDeployed:
    """A plan that a target runs in no form, and why."""

    plan: str
    target: str
    reason: str


@dataclass(frozen=True, slots=True, config=STRICT)
class DeployedReport:
    """Everything that was measured (`deployed.json`).

    Attributes:
        model_digest: `ModelIdentity.digest`.
        ranges_digest: `RangeTable.digest`.
        activations: what INT8 of activations is about where zero points are refused.
        resolution: pixels.
        prompts: in their order.
        seed: prompt i started from the noise of seed + i.
        machine: processor, GPU, system.
        versions: the packages that did the work.
        deployed: one a graph.
        not_deployed: one a plan and target.
    """

    model_digest: str
    ranges_digest: str
    activations: Activations
    resolution: int
    prompts: tuple[str, ...]
    seed: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    deployed: tuple[Deployed, ...]
    not_deployed: tuple[NotDeployed, ...]
    version: int = 1

    def write(self, path: Path) -> None:
        """Writes the JSON document."""
        write_text(path, to_json(self))

    def write_csv(self, path: Path) -> None:
        """Writes medians over the prompts, a line a plan and target."""
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for each in self.deployed:
            writer.writerows({**_figures(each), "target": target} for target in each.targets)
        for missing in self.not_deployed:
            writer.writerow({"plan": missing.plan, "target": missing.target, "not_deployed": missing.reason})
        write_text(path, text.getvalue())

    def in_words(self) -> Iterator[RenderableType]:
        """What was drawn, a row a graph, and what could not be."""
        yield (
            f"PSNR in dB, medians over {len(self.prompts)} prompts at {self.resolution} pixels (and "
            f"quartiles); activations {self.activations} where zero points are refused"
        )
        heads = (
            "plan",
            "targets",
            "changed",
            "MB",
            "to the ideal plan",
            "to its own",
            "to full",
            "ideal to full",
        )
        view = Table(*heads, box=SIMPLE_HEAD)
        for column in view.columns[2:]:
            column.justify = "right"
        for each in self.deployed:
            view.add_row(
                each.plan,
                targets_in_words(each.targets),
                str(each.changed),
                f"{each.weight_bytes / 1e6:.2f}",
                _with_quartiles(each.ideal_db),
                *(f"{median(db):.2f}" for db in (each.own_db, each.full_db, each.ideal_to_full_db)),
            )
        yield view
        for missing in self.not_deployed:
            yield f"{missing.plan} on {missing.target}: {missing.reason}"


def targets_in_words(targets: Sequence[str]) -> str:
    """Targets with each back end named once: `rtx:sm80, sm86; tensorrt:sm75`."""
    groups: dict[str, list[str]] = {}
    for target in targets:
        backend, _, capability = target.partition(":")
        groups.setdefault(backend, []).append(capability)
    return "; ".join(
        f"{backend}:{', '.join(each)}" if any(each) else backend for backend, each in groups.items()
    )


def _figures(each: Deployed) -> dict[str, object]:
    return {
        "plan": each.plan,
        "layers_changed": each.changed,
        "weight_bytes": each.weight_bytes,
        "forms": " ".join(f"{form}={count}" for form, count in each.forms.items()),
        "ideal_db": f"{median(each.ideal_db):.3f}",
        "ideal_db_q1": f"{_quartiles(each.ideal_db)[0]:.3f}",
        "ideal_db_q3": f"{_quartiles(each.ideal_db)[1]:.3f}",
        "own_db": f"{median(each.own_db):.3f}",
        "full_db": f"{median(each.full_db):.3f}",
        "ideal_to_full_db": f"{median(each.ideal_to_full_db):.3f}",
    }


def _with_quartiles(values: Sequence[float]) -> str:
    first, third = _quartiles(values)
    return f"{median(values):.2f} ({first:.2f} to {third:.2f})"


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Of pictures that come out equal to the last bit, the mean would be theirs alone."""
    first, third = np.percentile(values, [25, 75])
    return float(first), float(third)
