"""Options that several commands share, and the recipe that they add up to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from mixdq.compiler.recipe import Calibration, ascending, read_prompts
from mixdq.configs.bundle import SchedulerKind
from mixdq.configs.errors import RequestError
from mixdq.configs.model_choice import ModelChoice, VaePrecision
from mixdq.configs.presets import preset_for
from mixdq.configs.quantizing import Activations, Clipping
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Layout, Target
from mixdq.export.scheduler_configs import scheduler_spec
from mixdq.export.source import SourceModel

DEFAULT_SEED = 0
_USUAL_STEPS = {SchedulerKind.EULER_ANCESTRAL: 1, SchedulerKind.LCM: 4, SchedulerKind.EULER: 8}

_MODEL, _PLAN = "The model", "The precision plan"
_CALIBRATION, _ENGINES = "Calibration", "Engines"

Model = Annotated[
    str,
    typer.Argument(
        help="`emoji-turbo`, `sdxl-turbo`, a diffusers folder of an SDXL pipeline, or a hub id.",
        show_default=False,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="A diffusers folder, one safetensors checkpoint, a hub id, or `synthetic[:SEED]`. "
        "(default: the model's own)",
        rich_help_panel=_MODEL,
    ),
]
Variant = Annotated[
    str | None,
    typer.Option(
        "--variant",
        help="Of the weights' file names: fp16. (default: fp16 if it is there)",
        rich_help_panel=_MODEL,
    ),
]
Vae = Annotated[
    str | None,
    typer.Option(
        "--vae",
        help="Another AutoencoderKL (the FP16-safe one, say): folder or hub id.",
        rich_help_panel=_MODEL,
    ),
]
Precisions = Annotated[
    str,
    typer.Option(
        "--vae-precision", help="float32, bfloat16, or float16 with an FP16-safe VAE.", rich_help_panel=_MODEL
    ),
]
Loras = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        help="A LoRA of the UNet alone (not of text encoders) to fuse, FILE or FILE:SCALE; repeat it.",
        rich_help_panel=_MODEL,
    ),
]
Sampler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        help="euler_ancestral, euler or lcm. (default: the model's own)",
        rich_help_panel=_MODEL,
    ),
]
LayoutName = Annotated[
    Layout,
    typer.Option(
        "--layout",
        help="One engine a resolution, or one for all with symbolic sizes.",
        rich_help_panel=_ENGINES,
    ),
]
TimingCache = Annotated[
    Path | None,
    typer.Option(
        "--timing-cache",
        help="TensorRT's timings: read if it is there, and written.",
        rich_help_panel=_ENGINES,
    ),
]
StripWeights = Annotated[
    bool,
    typer.Option(
        "--strip-weights",
        help="TensorRT engines without weights, which one file holds.",
        rich_help_panel=_ENGINES,
    ),
]
Tiles = Annotated[
    Path | None,
    typer.Option(
        "--tiles",
        help="Of a cuda target: tiles of its kernels, tuned for this GPU with `python -m "
        "mixdq.compiler.cuda.kernels.tune`. (default: those that ship for it, else by rule)",
        rich_help_panel=_ENGINES,
    ),
]
Out = Annotated[Path, typer.Option("--out", help="The folder to write.")]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        help="cpu, tensorrt, rtx:sm75, sm80, sm86, sm89, sm120, sm121, or on a GPU its own cuda:sm90, say; "
        "repeat it. (default: cpu)",
        rich_help_panel=_ENGINES,
    ),
]
Resolutions = Annotated[
    list[int] | None,
    typer.Option(
        "--resolution",
        help="Pixels; repeat it. (default: those of the model's preset)",
        rich_help_panel=_ENGINES,
    ),
]
Batch = Annotated[
    int, typer.Option("--batch", help="Images that an engine makes at once.", rich_help_panel=_ENGINES)
]
Work = Annotated[
    Path | None,
    typer.Option(
        "--work",
        help="Folder of the export and ranges; share it between plans. (default: OUT/work)",
    ),
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", help="Stages at work side by side. (default: 2, or 1 on one core)")
]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan", help="A plan.yaml; instead of all other options of the plan.", rich_help_panel=_PLAN
    ),
]
WeightBits = Annotated[
    float | None,
    typer.Option(
        "--weight-bits",
        help="Mean bits, 2 to 8 (5, 3.66), where a search ships for the model: its plan of this mean, or a "
        "plan solved within it. Else the bits of every layer, whole. 16: FP16. (default: 8)",
        rich_help_panel=_PLAN,
    ),
]
ActivationBits = Annotated[
    float | None,
    typer.Option(
        "--activation-bits",
        help="Likewise: 8, or 16 for FP16. (default: 8)",
        rich_help_panel=_PLAN,
    ),
]
SameBits = Annotated[
    bool,
    typer.Option(
        "--uniform",
        help="The same bits in every layer, even where a search ships. --keep, --protect, --no-protect, "
        "--no-bos-aware and --no-split-shortcuts belong to uniform plans and imply it.",
        rich_help_panel=_PLAN,
    ),
]
Keep = Annotated[
    list[str] | None,
    typer.Option("--keep", help="A layer that stays FP16; repeat it.", rich_help_panel=_PLAN),
]
Protect = Annotated[
    list[str] | None,
    typer.Option(
        "--protect",
        help="A layer whose activation stays FP16; repeat it. (default: the preset's)",
        rich_help_panel=_PLAN,
    ),
]
NoProtect = Annotated[
    bool, typer.Option("--no-protect", help="Protect no layer, not even the preset's.", rich_help_panel=_PLAN)
]
NoBosAware = Annotated[
    bool,
    typer.Option(
        "--no-bos-aware",
        help="Quantize token 0 of the text with the others.",
        rich_help_panel=_PLAN,
    ),
]
NoSplit = Annotated[
    bool,
    typer.Option(
        "--no-split-shortcuts", help="Quantize shortcuts over both halves at once.", rich_help_panel=_PLAN
    ),
]
WeightClipping = Annotated[
    Clipping | None,
    typer.Option(
        "--weight-clipping",
        help="minmax: the largest weight of a channel or block takes the last step. mse: the scale of least "
        "squared error. (default: the plan's, minmax)",
        show_default=False,
        rich_help_panel=_PLAN,
    ),
]
ActivationCentres = Annotated[
    Activations | None,
    typer.Option(
        "--activations",
        help="plain: symmetric on TensorRT. centered: asymmetric there too, the range's centre folded into "
        "biases; centered-padded: also of convolutions with a kernel. (default: the plan's, plain)",
        show_default=False,
        rich_help_panel=_PLAN,
    ),
]
Prompts = Annotated[
    Path | None,
    typer.Option(
        "--prompts",
        help="Calibration prompts, one a line. (default: the preset's)",
        rich_help_panel=_CALIBRATION,
    ),
]
PromptCount = Annotated[
    int | None,
    typer.Option(
        "--prompt-count", help="How many of the prompts to run. (default: all)", rich_help_panel=_CALIBRATION
    ),
]
CalibrationResolutions = Annotated[
    list[int] | None,
    typer.Option(
        "--calibration-resolution",
        help="Pixels to run the prompts at; repeat it. (default: 512 for SDXL-Turbo, else those compiled)",
        rich_help_panel=_CALIBRATION,
    ),
]
CalibrationSteps = Annotated[
    int | None,
    typer.Option(
        "--calibration-steps",
        help="Denoising steps to run. (default: 1; 4 for LCM, 8 for plain SDXL)",
        rich_help_panel=_CALIBRATION,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        help="Seed of the calibration's noise, 0 to 2147483647. (default: 0)",
        rich_help_panel=_CALIBRATION,
    ),
]
Ranges = Annotated[
    Path | None,
    typer.Option(
        "--ranges", help="A ranges.json, instead of running the prompts.", rich_help_panel=_CALIBRATION
    ),
]


def choice_of(
    model: str,
    weights: str | None,
    variant: str | None,
    vae: str | None,
    vae_precision: str,
    loras: Sequence[str] | None,
    scheduler: str | None,
) -> ModelChoice:
    """What to compile, of the options that say it.

    Raises:
        RequestError: a precision that no VAE is compiled in.
    """
    if vae_precision not in get_args(VaePrecision):
        raise RequestError(
            f"--vae-precision is one of {', '.join(get_args(VaePrecision))}, not {vae_precision!r}"
        )
    if vae_precision == "float16" and vae is None:
        raise RequestError(
            "--vae-precision float16 needs an FP16-safe VAE, because SDXL's own overflows and draws black; "
            "give one with --vae (madebyollin/sdxl-vae-fp16-fix), or use float32 or bfloat16"
        )
    return ModelChoice(
        model=model,
        weights=weights,
        variant=variant,
        vae=vae,
        loras=tuple(loras or ()),
        scheduler=scheduler,
        vae_precision=cast(VaePrecision, vae_precision),
    )


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


def calibration_of(
    source: SourceModel,
    prompts: Path | None,
    count: int | None,
    seed: int | None,
    resolutions: Sequence[int] | None,
    steps: int | None,
) -> Calibration:
    """What to measure ranges on: the prompts of a file, or of the model's preset."""
    preset = preset_for(source.identity.name)
    return Calibration(
        prompts=read_prompts(prompts or preset.prompts_file, count),
        seed=DEFAULT_SEED if seed is None else seed,
        resolutions=ascending(resolutions or preset.calibration_resolutions) or None,
        steps=_USUAL_STEPS[scheduler_spec(source.configs["scheduler"]).kind] if steps is None else steps,
    )


def ranges_of(
    file: Path | None,
    source: SourceModel,
    prompts: Path | None,
    count: int | None,
    seed: int | None,
    resolutions: Sequence[int] | None,
    steps: int | None,
) -> Calibration | RangeTable:
    """The ranges of a file, or else what to measure them on.

    Raises:
        RequestError: both a file and what to measure them on, or a seed out of bounds.
    """
    if file is None:
        return calibration_of(source, prompts, count, seed, resolutions, steps)
    if any(given is not None for given in (prompts, count, seed, resolutions, steps)):
        raise RequestError(
            "--ranges excludes --prompts, --prompt-count, --seed, --calibration-resolution and "
            "--calibration-steps: its ranges are measured already; give the file, or what to measure"
        )
    return RangeTable.read(file)
