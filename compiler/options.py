"""Options that several commands share, and the recipe that they add up to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import typer

from mixdq.compiler.recipe import Calibration, Uniform, ascending, read_prompts
from mixdq.configs.errors import PlanError, RequestError
from mixdq.configs.layers import parse_layer_name
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import Precision
from mixdq.configs.presets import preset_for
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Target
from mixdq.export.source import SourceModel

DEFAULT_BITS = 8
DEFAULT_SEED = 0

Model = Annotated[
    str, typer.Argument(help="`emoji-turbo`, a diffusers folder of an SDXL pipeline, or a hub id.")
]
Out = Annotated[Path, typer.Option("--out", help="The folder to write.")]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target", help="cpu, tensorrt, or rtx:sm75, sm80, sm86, sm89, sm120; repeat it. [default: cpu]"
    ),
]
Resolutions = Annotated[
    list[int] | None,
    typer.Option("--resolution", help="Pixels; repeat it. [default: those of the model's preset]"),
]
Batch = Annotated[int, typer.Option("--batch", help="Images that an engine makes at once.")]
Work = Annotated[
    Path | None,
    typer.Option(
        "--work", help="Folder of the export and ranges; share it between plans. [default: OUT/work]"
    ),
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", help="Stages at work side by side. [default: 2, or 1 on one core]")
]
PlanFile = Annotated[
    Path | None, typer.Option("--plan", help="A plan.yaml; instead of the options of a uniform plan.")
]
WeightBits = Annotated[int | None, typer.Option("--weight-bits", help="2 to 8, or 16 for FP16. [default: 8]")]
ActivationBits = Annotated[
    int | None, typer.Option("--activation-bits", help="8, or 16 for FP16. [default: 8]")
]
Keep = Annotated[list[str] | None, typer.Option("--keep", help="A layer that stays FP16; repeat it.")]
Protect = Annotated[
    list[str] | None,
    typer.Option("--protect", help="A layer whose activation stays FP16; repeat it. [default: the preset's]"),
]
NoProtect = Annotated[bool, typer.Option("--no-protect", help="Protect no layer, not even the preset's.")]
NoBosAware = Annotated[
    bool, typer.Option("--no-bos-aware", help="Quantize token 0 of the text with the others.")
]
NoSplit = Annotated[
    bool, typer.Option("--no-split-shortcuts", help="Quantize shortcuts over both halves at once.")
]
Prompts = Annotated[
    Path | None, typer.Option("--prompts", help="Calibration prompts, one a line. [default: the preset's]")
]
PromptCount = Annotated[
    int | None,
    typer.Option("--prompt-count", help="How many of the prompts to run. [default: all]"),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the calibration's noise, 0 to 2147483647.")]
Ranges = Annotated[
    Path | None, typer.Option("--ranges", help="A ranges.json, instead of running the prompts.")
]


def targets_of(texts: Sequence[str] | None) -> tuple[Target, ...]:
    """The targets named, each once; `cpu` if none is."""
    return tuple(dict.fromkeys(Target.parse(text) for text in texts or ["cpu"]))


def resolutions_of(source: SourceModel, given: Sequence[int] | None) -> tuple[int, ...]:
    """The resolutions given, or the model's, ascending and checked."""
    resolutions = ascending(given or source.resolutions)
    for resolution in resolutions:
        source.check_resolution(resolution)
    return resolutions


def jobs_of(given: int | None) -> int:
    """How many stages may run side by side."""
    if given is not None and given < 1:
        raise RequestError(f"--jobs {given} is too few; use at least 1")
    return given or min(2, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class PlanWords:
    """The options that make a plan, as they were given."""

    file: Path | None
    weight_bits: int | None
    activation_bits: int | None
    keep: Sequence[str] | None
    protect: Sequence[str] | None
    no_protect: bool
    no_bos_aware: bool
    no_split: bool

    def plan(self, model: str) -> Uniform | PrecisionPlan:
        """The plan of the file, or else the uniform one that the other options say.

        Raises:
            PlanError: both a file and other options, a malformed file, or bits that are no precision.
        """
        if self.file is None:
            return self._uniform(model)
        if any(getattr(self, field.name) not in (None, False) for field in fields(self)[1:]):
            raise PlanError(
                "--plan names the precision of every layer, so it excludes --weight-bits, --activation-bits, "
                "--keep, --protect, --no-protect, --no-bos-aware and --no-split-shortcuts; give one of them"
            )
        return PrecisionPlan.read(self.file)

    def _uniform(self, model: str) -> Uniform:
        if self.protect and self.no_protect:
            raise PlanError("--protect and --no-protect exclude each other; give one of them")
        protect = () if self.no_protect else self.protect or preset_for(model).protect
        return Uniform(
            precision=Precision(
                DEFAULT_BITS if self.weight_bits is None else self.weight_bits,
                DEFAULT_BITS if self.activation_bits is None else self.activation_bits,
            ),
            keep=tuple(parse_layer_name(name) for name in self.keep or ()),
            protect=tuple(parse_layer_name(name) for name in protect),
            bos_aware=not self.no_bos_aware,
            split_shortcuts=not self.no_split,
        )


def calibration_of(model: str, prompts: Path | None, count: int | None, seed: int) -> Calibration:
    """What to measure ranges on: the prompts of a file, or of the model's preset."""
    return Calibration(read_prompts(prompts or preset_for(model).prompts_file, count), seed)


def ranges_of(
    file: Path | None, model: str, prompts: Path | None, count: int | None, seed: int
) -> Calibration | RangeTable:
    """The ranges of a file, or else what to measure them on.

    Raises:
        RequestError: both a file and what to measure them on, or a seed out of bounds.
    """
    if file is None:
        return calibration_of(model, prompts, count, seed)
    if prompts is not None or count is not None or seed != DEFAULT_SEED:
        raise RequestError(
            "--ranges excludes --prompts, --prompt-count and --seed: its ranges are measured already; "
            "give the file, or what to measure"
        )
    return RangeTable.read(file)
