"""A recipe: everything that decides what a run makes, checked before any long work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.builders import require_builder
from mixdq.configs.errors import ModelError, RequestError, StorageError, TargetError
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import Precision
from mixdq.configs.quantizing import Activations, Clipping
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Backend, Layout, Target
from mixdq.export.source import SourceModel

LARGEST_SEED = 2**31 - 1
"""Of the calibration's noise."""

_MAX_BATCH = 32
_TURING = 75  # "FP32 GEMM is not supported for Turing", its builder says after all other work
_MAX_STEPS = 50


@dataclass(frozen=True, slots=True)
class Uniform:
    """A plan in words: one precision for all layers but those named; see `uniform_plan`."""

    precision: Precision
    keep: tuple[LayerName, ...]
    protect: tuple[LayerName, ...]
    bos_aware: bool
    split_shortcuts: bool
    weight_clipping: Clipping = Clipping.MINMAX
    activations: Activations = Activations.PLAIN

    @property
    def quantizes(self) -> bool:
        """Whether any layer is quantized, but for those kept."""
        return self.precision.quantizes_weight

    def for_layers(self, table: LayerTable) -> PrecisionPlan:
        """The plan for a model's layers.

        Raises:
            PlanError: a named layer is none of the model's.
        """
        plan = uniform_plan(
            table,
            self.precision,
            keep=self.keep,
            protect=self.protect,
            bos_aware=self.bos_aware,
            split_shortcuts=self.split_shortcuts,
        )
        return replace(plan, weight_clipping=self.weight_clipping, activations=self.activations)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What to measure the ranges on.

    Attributes:
        prompts: at least one.
        seed: of the noise, 0 to `LARGEST_SEED`.
        resolutions: pixels to run them at; None for those that are compiled.
        steps: denoising steps; the ranges cover all of them.

    Raises:
        RequestError: a seed out of bounds.
    """

    prompts: tuple[str, ...]
    seed: int
    resolutions: tuple[int, ...] | None = None
    steps: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= LARGEST_SEED:
            raise RequestError(f"seed {self.seed} is out of bounds; use 0 to {LARGEST_SEED}")
        if not 1 <= self.steps <= _MAX_STEPS:
            raise RequestError(f"{self.steps} calibration steps are out of bounds; use 1 to {_MAX_STEPS}")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a run makes.

    Attributes:
        choice: the model, and where its weights come from.
        targets: what to build for.
        resolutions: pixels, ascending.
        batch: images an engine makes at once.
        plan: the precisions, in words or layer by layer.
        ranges: what to measure them on, or a table that was measured before.
        layout: one engine a resolution, or one for all.
        build: how TensorRT's builders work.
    """

    choice: ModelChoice
    targets: tuple[Target, ...]
    resolutions: tuple[int, ...]
    batch: int
    plan: Uniform | PrecisionPlan
    ranges: Calibration | RangeTable
    layout: Layout
    build: BuildOptions

    @property
    def quantizes(self) -> bool:
        """Whether any layer may be quantized, so that its graph needs ranges."""
        return self.plan.quantizes

    def plan_for(self, table: LayerTable) -> PrecisionPlan:
        """The plan for a model's layers, checked against them.

        Raises:
            PlanError: layers are missing or unknown.
            DigestError: the plan was made for another model.
        """
        plan = self.plan.for_layers(table) if isinstance(self.plan, Uniform) else self.plan
        plan.check(table)
        return plan

    def check(self, source: SourceModel) -> None:
        """Refuses what can be known to fail before any work.

        Raises:
            RequestError: a resolution that the model can't make, or a batch out of bounds.
            TargetError: a builder that is missing, a precision that a target can't hold, or centres where
                all targets take zero points.
            DigestError: ranges of another model.
        """
        measured = self.ranges.resolutions if isinstance(self.ranges, Calibration) else None
        for resolution in (*self.resolutions, *(measured or ())):
            source.check_resolution(resolution)
        if not 1 <= self.batch <= _MAX_BATCH:
            raise RequestError(f"batch {self.batch} is out of bounds; use 1 to {_MAX_BATCH} images")
        if not self.targets:
            raise TargetError("no target was named; use --target cpu, for example")
        self.build.check_used(self.targets)
        self._check_centers()
        for target in self.targets:
            require_builder(target)
            self.build.check(target)
            self._check_layout(target)
            self._check_vae(target)
            self._check_precisions(target)

    def _check_centers(self) -> None:
        centers = self.plan.activations is not Activations.PLAIN
        if centers and not any(target.dialect.symmetric for target in self.targets):
            named = ", ".join(str(target) for target in self.targets)
            raise TargetError(
                f"{self.plan.activations} activations are for targets that refuse zero points, and {named} "
                "takes them: its activations are asymmetric already; use --activations plain, or a TensorRT "
                "target"
            )

    def _check_layout(self, target: Target) -> None:
        if target.backend is Backend.CUDA and self.layout is Layout.DYNAMIC:
            raise TargetError(
                f"{target} has one package a resolution, of code alone: all of them share their weights "
                "anyway; leave --layout dynamic out"
            )

    def _check_vae(self, target: Target) -> None:
        if target.sm == _TURING and self.choice.vae_precision != "float16":
            raise TargetError(
                f"TensorRT for RTX has no {self.choice.vae_precision} kernels for {target}, and the VAE "
                "decoder computes in it; give an FP16-safe VAE with --vae (madebyollin/sdxl-vae-fp16-fix for "
                "SDXL) and --vae-precision float16"
            )

    def _check_precisions(self, target: Target) -> None:
        if isinstance(self.plan, PrecisionPlan):
            target.check(self.plan)
        elif not target.holds(self.plan.precision):
            raise TargetError(
                f"{target} can't hold {self.plan.precision}: it holds weights of 2 to 8 bits in INT8 and "
                "activations of 8 bits, or floating point; choose --activation-bits 8 or 16"
            )


def read_prompts(path: Path, count: int | None) -> tuple[str, ...]:
    """The first prompts of a file, one a line; empty lines don't count.

    Args:
        path: the file.
        count: how many; None for all.

    Raises:
        StorageError: the file can't be read.
        ModelError: it is no UTF-8 text, or holds fewer prompts.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StorageError(f"could not read the prompts {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is no UTF-8 text ({error.reason}); give one prompt a line") from error
    prompts = [line.strip() for line in lines if line.strip()]
    wanted = len(prompts) if count is None else count
    if not 1 <= wanted <= len(prompts):
        raise ModelError(
            f"{path} holds {len(prompts)} prompts, and {wanted} were asked for; "
            "choose --prompt-count between 1 and what it holds, or give another file"
        )
    return tuple(prompts[:wanted])


def ascending(resolutions: Sequence[int]) -> tuple[int, ...]:
    """Resolutions in order, each once."""
    return tuple(sorted(set(resolutions)))
