"""What a recipe needs and the user has not brought: said before any work, all of it at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixdq.configs.errors import EvaluationError, MixdqError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.shipped_search import shipped_sensitivity
from mixdq.eval.ablation.cases import CASES, Step
from mixdq.eval.quality import inception
from mixdq.eval.reproduce.recipe import Measure, Recipe, RecipeName
from mixdq.eval.reproduce.request import Request
from mixdq.eval.reproduce.result import titled
from mixdq.eval.scorers import clip_file, image_reward
from mixdq.export.source import SourceModel, open_source

_SEARCHED = {case.name for case in CASES if case.step in (Step.MIXED, Step.MIXDQ, Step.NOISE)}
_CAPTIONS = (
    "captions_val2014.json, of annotations_trainval2014.zip at https://cocodataset.org/#download; "
    "its prompts are taken in the order of the annotations"
)
_PHOTOGRAPHS = "the folder val2014, of val2014.zip (6 GB) at https://cocodataset.org/#download"
_GO_WITHOUT = "\nor --partial to go without photographs and scorers, whose columns stay empty"
_EMOJI_REFERENCE = "give a folder of pictures, or leave it out: FID is then against full precision's"


class NeedsError(EvaluationError):
    """What is missing before a recipe can begin, a line each."""


def check_needs(recipe: Recipe, request: Request) -> SourceModel:
    """Opens the model, and refuses to begin while anything is missing.

    Raises:
        NeedsError: all that is missing, with where to get each.
    """
    missing, source = [], None
    try:
        weights = request.weights or ("synthetic" if request.on_trial else None)
        source = open_source(ModelChoice(request.model, weights=weights))
    except MixdqError as error:
        missing.append(f"the model: {error}")
    missing += [titled(what, how) for what, how in _missing_files(recipe, request)]
    if request.device == "cuda" and find_gpu() is None:
        missing.append("a GPU: this machine's driver shows none; leave out --device cuda")
    if missing or source is None:
        raise NeedsError(
            f"{request.recipe} of {request.model} can't begin, missing {_listed(missing)}"
            + (_GO_WITHOUT if _can_go_without(recipe, request) else "")
        )
    return source


def absent_scorers(request: Request) -> Iterator[tuple[str, str]]:
    """The scorers of the source's figures that have no weights here, and where to get them."""
    for what, path, option, how in (
        ("FID", request.scorers.inception, "--inception FILE", inception.HOW_TO_GET),
        ("CLIP", request.scorers.clip, "--clip FILE_OR_FOLDER", clip_file.HOW_TO_GET),
        ("ImageReward", request.scorers.image_reward, "--image-reward FILE", image_reward.HOW_TO_GET),
    ):
        if path is None:
            yield what, f"{how}; give {option}"


def _listed(missing: Sequence[str]) -> str:
    """One thing on the line that names it, more of them on a line each."""
    lines = [" ".join(words.split()) for words in missing]
    if len(lines) == 1:
        return f"is {lines[0]}"
    return "are:" + "".join(f"\n  ({place}) {words}" for place, words in enumerate(lines, start=1))


def _missing_files(recipe: Recipe, request: Request) -> Iterator[tuple[str, str]]:
    given = {
        "--prompts": request.prompts,
        "--reference": request.reference,
        "--inception": request.scorers.inception,
        "--clip": request.scorers.clip,
        "--image-reward": request.scorers.image_reward,
        **{f"--sensitivity {path.name}": path for path in request.sensitivity},
    }
    yield from (
        (option, f"there is no {path}; {_instead(option, request)}")
        for option, path in given.items()
        if path and not path.exists()
    )
    if (
        _is_searched(recipe, request)
        and not request.sensitivity
        and shipped_sensitivity(request.model) is None
    ):
        yield (
            "sensitivities",
            f"none ship for {request.model}; measure them with `mixdq-compile sensitivity {request.model}`, "
            "or give the YAML files that MixDQ released, with --sensitivity",
        )
    if not _wants_pictures(recipe, request):
        return
    if request.prompts is None:
        yield "prompts", f"{_CAPTIONS}; give --prompts FILE"
    if not request.partial:
        yield from _optional(request)


def _instead(option: str, request: Request) -> str:
    """What to do about a file that isn't there."""
    if option != "--reference":
        return "give the path of one that is"
    return _EMOJI_REFERENCE if request.on_emoji else f"give a folder of photographs: {_PHOTOGRAPHS}"


def _optional(request: Request) -> Iterator[tuple[str, str]]:
    """What `--partial` goes without."""
    if request.reference is None:
        yield "photographs", f"{_PHOTOGRAPHS}; give --reference FOLDER"
    yield from absent_scorers(request)


def _can_go_without(recipe: Recipe, request: Request) -> bool:
    return _wants_pictures(recipe, request) and not request.partial and any(_optional(request))


def _wants_pictures(recipe: Recipe, request: Request) -> bool:
    """Whether the user brings what pictures are drawn of and scored by."""
    return Measure.QUALITY in recipe.measures and not (request.on_emoji or request.on_trial)


def _is_searched(recipe: Recipe, request: Request) -> bool:
    if request.on_trial:
        return False
    return request.recipe is RecipeName.FIG8 or any(row.case in _SEARCHED for row in recipe.made)
