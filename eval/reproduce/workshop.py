"""What a recipe works with: model, layers, plans, pictures to draw; opened once, checked before any work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from mixdq.compiler.allocate.words import read_sensitivities
from mixdq.compiler.options import calibration_of, resolutions_of
from mixdq.compiler.progress import child_on_terminal
from mixdq.compiler.torch_stages import find_layers
from mixdq.configs.files import sha256_of_text, write_text
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import Precision
from mixdq.configs.presets import preset_for
from mixdq.configs.sensitivity import SensitivityTable
from mixdq.configs.shipped_search import shipped_layers, shipped_sensitivity
from mixdq.eval.ablation.cases import CASES
from mixdq.eval.ablation.plans import PlanMaker, RowPlan, read_given
from mixdq.eval.images.order import Order, order_digest, order_pictures
from mixdq.eval.quality.found import Watch
from mixdq.eval.quality.pictures import PictureSet, open_reference
from mixdq.eval.quality.request import Weights
from mixdq.eval.reproduce.bench import Bench
from mixdq.eval.reproduce.coco import recipe_prompts
from mixdq.eval.reproduce.recipe import Measure, Recipe, RecipeRow
from mixdq.eval.reproduce.request import Request
from mixdq.export.source import SourceModel

_PROMPTS_OF_EMOJI = "emoji-512.txt"
_DIGITS = 12
"""Of a digest in a folder's name."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Workshop:
    """Everything that the rows of a recipe share.

    Attributes:
        request: what was asked for.
        recipe: what is made.
        source: the model.
        table: its layers.
        sensitivity: what plans are searched by; None if no row needs it.
        given: searched plans, by the ablation's row whose place they take.
        pictures: what every row draws; none for a recipe without pictures of its own.
        reference: what FID is against; None for full precision's pictures.
        bench: what makes them.
        say: told each outcome.
    """

    request: Request
    recipe: Recipe
    source: SourceModel
    table: LayerTable
    sensitivity: SensitivityTable | None
    given: Mapping[str, RowPlan]
    pictures: Sequence[Order]
    reference: PictureSet | None
    bench: Bench
    say: Say

    @property
    def settings(self) -> dict[str, str]:
        """What all figures depend on, for the folder's claim and the table's head."""
        request = self.request
        found = {
            "model": self.source.identity.name,
            "model digest": self.source.identity.digest,
            "layers": self.table.digest,
            "seed": str(request.seed),
            "pixels": str(self.bench.resolution),
            "device": request.device,
            "drawn by": "simulation in torch" if request.simulate else "ONNX Runtime",
        }
        if self.pictures:
            found |= {"prompts": str(len(self.pictures)), "prompts digest": order_digest(self.pictures)}
        if self.sensitivity is not None:
            found["sensitivities"] = self.sensitivity.digest
        if self.reference is not None:
            found["reference"] = self.reference.sha256
        if self.pictures and (scorers := list(_named(request.scorers))):
            found["scorers"] = ", ".join(scorers)
        return found | {f"plan of {name}": plan.plan.digest for name, plan in self.given.items()}

    @property
    def scores_folder(self) -> Path:
        """Where recipes share the scores that are computed in one way, against one reference."""
        found = self.settings
        draws = f"{self.request.bootstrap}"
        words = [found.get(name, "") for name in ("reference", "scorers", "prompts digest", "device")]
        return self.request.work / "scores" / sha256_of_text(" ".join((*words, draws)))[:_DIGITS]

    def plan(self, row: RecipeRow) -> RowPlan:
        """A row's plan; one that was made before is read, because a solver may break ties otherwise.

        Raises:
            MixdqError: sensitivities that lack what it needs, or a budget that can't be kept.
        """
        folder = self.request.work / "plans" / self._plans_digest()
        path, how = folder / f"{row.name}.yaml", folder / f"{row.name}.txt"
        if path.is_file() and how.is_file():
            plan = PrecisionPlan.read(path)
            plan.check(self.table)
            return RowPlan(plan, how.read_text(encoding="utf-8").strip())
        made = self._make(row)
        made.plan.check(self.table)
        made.plan.write(path)
        write_text(how, made.how + "\n")
        return made

    def _make(self, row: RecipeRow) -> RowPlan:
        if row.precision is not None:
            plan = uniform_plan(
                self.table,
                Precision.parse(row.precision),
                keep=(),
                protect=(),
                bos_aware=bool(row.bos_aware),
                split_shortcuts=True,
            )
            return RowPlan(plan, f"all layers {row.precision}")
        (case,) = [case for case in CASES if case.name == row.case]
        assert self.sensitivity is not None  # `check_needs` refuses a recipe with searched rows without
        maker = PlanMaker(self.table, self.sensitivity, self.bench.resolution, None, self.given)
        made = maker.make(case)
        if row.bos_aware is None:
            return made
        words = "" if row.bos_aware else ", but not BOS-aware"
        return RowPlan(replace(made.plan, bos_aware=row.bos_aware), f"{made.how}{words}")

    def _plans_digest(self) -> str:
        scores = "" if self.sensitivity is None else self.sensitivity.digest
        given = " ".join(f"{name} {plan.plan.digest}" for name, plan in self.given.items())
        return sha256_of_text(f"{self.table.digest} {scores} {given} {self.bench.resolution}")[:_DIGITS]


def open_workshop(
    recipe: Recipe, request: Request, source: SourceModel, console: Console, watch: Watch, say: Say
) -> Workshop:
    """Opens what a recipe works with.

    Raises:
        MixdqError: files that don't fit the model, prompts that are too few.
    """
    (resolution,) = resolutions_of(source, [request.resolution or min(resolutions_of(source, None))])
    table = _layers_of(source, request.model, resolution)
    files = request.sensitivity or tuple(filter(None, [shipped_sensitivity(request.model)]))
    bench = Bench(
        source=source,
        table=table,
        work=request.work,
        resolution=resolution,
        device=request.device,
        simulate=request.simulate,
        calibration=calibration_of(source, None, request.calibration_count, None, None, None),
        keep_bundles=Measure.MEMORY in recipe.measures and not request.simulate,
        console=console,
        watch=watch,
    )
    return Workshop(
        request=request,
        recipe=recipe,
        source=source,
        table=table,
        sensitivity=read_sensitivities(list(files), table) if files else None,
        given=read_given(list(request.plans), table),
        pictures=_pictures(recipe, request),
        reference=_reference(recipe, request),
        bench=bench,
        say=say,
    )


def _pictures(recipe: Recipe, request: Request) -> Sequence[Order]:
    if Measure.QUALITY not in recipe.measures or request.on_trial:
        return ()
    prompts = recipe_prompts(request.prompts or _emoji_prompts())
    # emoji-turbo's own list is shorter than COCO's; of any other model, fewer have to be asked for.
    usual = min(recipe.count, len(prompts)) if request.on_emoji else recipe.count
    return order_pictures(
        prompts, seed=request.seed, start=0, count=request.count or usual, allow_duplicates=True
    )


def _reference(recipe: Recipe, request: Request) -> PictureSet | None:
    if request.reference is None or Measure.QUALITY not in recipe.measures:
        return None
    return open_reference(request.reference)


def _named(weights: Weights) -> Iterator[str]:
    """The files of weights that were given, by their sizes: what a folder's scores belong to."""
    for path in (weights.inception, weights.clip, weights.image_reward):
        if path is not None:
            yield f"{path.name} ({path.stat().st_size} bytes)"


def _emoji_prompts() -> Path:
    return preset_for("emoji-turbo").prompts_file.with_name(_PROMPTS_OF_EMOJI)


def _layers_of(source: SourceModel, model: str, resolution: int) -> LayerTable:
    path = shipped_layers(model)
    if path is not None and path.is_file():
        table = LayerTable.read(path)
        if table.model == source.identity and resolution in table.layers[0].macs:
            return table
    return child_on_terminal("layers", find_layers, source, (resolution,)).value
