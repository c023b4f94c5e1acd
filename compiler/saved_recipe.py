"""The recipe of a folder (`recipe.json`), so that `mixdq-compile build` goes on where `quantize` stopped."""

from __future__ import annotations

from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.compiler.recipe import Calibration, Recipe
from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import BundleError, StorageError
from mixdq.configs.files import write_text
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.presets import shipped_model
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Target

LAYERS_FILE, PLAN_FILE, RANGES_FILE = "layers.json", "plan.yaml", "ranges.json"
RECIPE_FILE = "recipe.json"


@dataclass(frozen=True, slots=True, config=STRICT)
class SavedRecipe:
    """A recipe without its plan and its ranges, which are files of their own in the same folder.

    Attributes:
        model: the model, a folder by its full path.
        work: the folder that the recipe's runs share; relative if it is inside this one.
        targets: what to build for.
        resolutions: pixels.
        batch: images at once.
        prompts: the calibration prompts; None if the ranges were given.
        seed: the calibration's seed; None if the ranges were given.
    """

    model: str
    work: str
    targets: tuple[str, ...]
    resolutions: tuple[int, ...]
    batch: int
    prompts: tuple[str, ...] | None
    seed: int | None

    @classmethod
    def of(cls, recipe: Recipe, work: Path, root: Path) -> SavedRecipe:
        """The file form of a recipe."""
        is_folder = shipped_model(recipe.model) is None and Path(recipe.model).is_dir()
        given = recipe.ranges if isinstance(recipe.ranges, Calibration) else None
        return cls(
            model=str(Path(recipe.model).resolve()) if is_folder else recipe.model,
            work=str(work.relative_to(root) if work.is_relative_to(root) else work),
            targets=tuple(str(target) for target in recipe.targets),
            resolutions=recipe.resolutions,
            batch=recipe.batch,
            prompts=given.prompts if given else None,
            seed=given.seed if given else None,
        )

    def recipe(self, root: Path) -> Recipe:
        """The recipe, with the plan and, if they were given, the ranges of its folder."""
        calibrates = self.prompts is not None and self.seed is not None
        return Recipe(
            model=self.model,
            targets=tuple(Target.parse(target) for target in self.targets),
            resolutions=self.resolutions,
            batch=self.batch,
            plan=PrecisionPlan.read(root / PLAN_FILE),
            ranges=Calibration(self.prompts or (), self.seed or 0)
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
