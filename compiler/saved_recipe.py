"""The recipe of a folder (`recipe.json`), so that `mixdq-compile build` goes on where `quantize` stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.recipe import Calibration, Recipe
from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import BundleError, StorageError
from mixdq.configs.files import write_text
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.presets import shipped_model
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Layout, Target
from mixdq.export.weights.lora import parse_lora

LAYERS_FILE, PLAN_FILE, RANGES_FILE = "layers.json", "plan.yaml", "ranges.json"
RECIPE_FILE = "recipe.json"


@dataclass(frozen=True, slots=True, config=STRICT)
class SavedRecipe:
    """A recipe without its plan and its ranges, which are files of their own in the same folder.

    Attributes:
        choice: the model and where its weights come from, folders and files by their full paths.
        work: the folder that the recipe's runs share; relative if it is inside this one.
        targets: what to build for.
        resolutions: pixels.
        batch: images at once.
        layout: one engine a resolution, or one for all.
        build: how TensorRT's builders work.
        prompts: the calibration prompts; None if the ranges were given.
        seed: the calibration's seed; None if the ranges were given.
        calibration_resolutions: where they were measured; None for the resolutions compiled.
        calibration_steps: denoising steps that they cover; None if the ranges were given.
    """

    choice: ModelChoice
    work: str
    targets: tuple[str, ...]
    resolutions: tuple[int, ...]
    batch: int
    layout: Layout
    build: BuildOptions
    prompts: tuple[str, ...] | None
    seed: int | None
    calibration_resolutions: tuple[int, ...] | None
    calibration_steps: int | None

    @classmethod
    def of(cls, recipe: Recipe, work: Path, root: Path) -> SavedRecipe:
        """The file form of a recipe."""
        given = recipe.ranges if isinstance(recipe.ranges, Calibration) else None
        return cls(
            choice=_by_full_paths(recipe.choice),
            work=str(work.relative_to(root) if work.is_relative_to(root) else work),
            targets=tuple(str(target) for target in recipe.targets),
            resolutions=recipe.resolutions,
            batch=recipe.batch,
            layout=recipe.layout,
            build=recipe.build,
            prompts=given.prompts if given else None,
            seed=given.seed if given else None,
            calibration_resolutions=given.resolutions if given else None,
            calibration_steps=given.steps if given else None,
        )

    def recipe(self, root: Path) -> Recipe:
        """The recipe, with the plan and, if they were given, the ranges of its folder."""
        calibrates = self.prompts is not None and self.seed is not None
        return Recipe(
            choice=self.choice,
            targets=tuple(Target.parse(target) for target in self.targets),
            resolutions=self.resolutions,
            batch=self.batch,
            plan=PrecisionPlan.read(root / PLAN_FILE),
            layout=self.layout,
            build=self.build,
            ranges=Calibration(
                self.prompts or (), self.seed or 0, self.calibration_resolutions, self.calibration_steps or 1
            )
            if calibrates
            else RangeTable.read(root / RANGES_FILE),
        )

    def write(self, root: Path) -> None:
        """Writes `recipe.json`."""
        write_text(root / RECIPE_FILE, to_json(self))

    @classmethod
    def read(cls, root: Path) -> SavedRecipe:
        """Reads `recipe.json`.

        Raises:
            BundleError: the folder holds none, or one of another form.
        """
        try:
            return read_json(cls, root / RECIPE_FILE, BundleError)
        except StorageError as error:
            raise BundleError(
                f"{root} holds no {RECIPE_FILE} ({error}); "
                f"`mixdq-compile quantize MODEL --out {root}` begins such a folder"
            ) from error


def _by_full_paths(choice: ModelChoice) -> ModelChoice:
    """The choice with every path in it made absolute, so that it holds from any working folder."""
    named = shipped_model(choice.model) is not None
    return replace(
        choice,
        model=choice.model if named else _full(choice.model),
        weights=None if choice.weights is None else _full(choice.weights),
        vae=None if choice.vae is None else _full(choice.vae),
        loras=tuple(_full_lora(lora) for lora in choice.loras),
    )


def _full(text: str) -> str:
    return str(Path(text).resolve()) if Path(text).exists() else text


def _full_lora(lora: str) -> str:
    path, scale = parse_lora(lora)
    return f"{_full(str(path))}:{scale}"
