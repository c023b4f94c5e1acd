"""One engine for all recipes: what is missing is said, what is there is kept, the rest is made."""

from __future__ import annotations

from rich.console import Console

from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.eval.quality.found import Watch
from mixdq.eval.reproduce.ablated import make_ablation
from mixdq.eval.reproduce.claim import Claim, claim
from mixdq.eval.reproduce.grid import make_grid
from mixdq.eval.reproduce.made import Made
from mixdq.eval.reproduce.needs import check_needs
from mixdq.eval.reproduce.programme import make_contest
from mixdq.eval.reproduce.queue import make_matrix
from mixdq.eval.reproduce.recipe import Recipe, RecipeName
from mixdq.eval.reproduce.request import Request
from mixdq.eval.reproduce.result import Reproduction
from mixdq.eval.reproduce.rows import make_rows
from mixdq.eval.reproduce.trial import make_trial
from mixdq.eval.reproduce.workshop import Say, Workshop, open_workshop

_PACKAGES = ("mixdq", "numpy", "onnxruntime", "ortools", "pillow", "torch", "torchmetrics", "transformers")


def reproduce(recipe: Recipe, request: Request, console: Console, watch: Watch, say: Say) -> Reproduction:
    """Makes what is missing of a recipe's folder, and writes `NAME.json`, `NAME.csv`, `NAME.md` and plots.

    Args:
        recipe: what to make.
        request: under which name, of which model, with what.
        console: where to show the compiler's progress.
        watch: told of everything else's.
        say: told what stays on the screen.

    Raises:
        EvaluationError: something is missing, all of it named; a folder of another recipe or other options.
        MixdqError: whatever compiling, drawing and measuring refuse.
    """
    source = check_needs(recipe, request)
    shop = open_workshop(recipe, request, source, console, watch, say)
    settings = shop.settings
    claim(request.out, Claim(request.recipe, {**settings, **_lengths(request)}))
    made = _make(shop)
    found = Reproduction(
        recipe=request.recipe,
        title=recipe.title,
        cites=recipe.cites,
        settings={**settings, **made.settings},
        columns=tuple(made.columns),
        rows=tuple(made.rows),
        findings=tuple(made.findings),
        remarks=recipe.remarks,
        not_measured=made.not_measured,
        plots=tuple(made.plots),
        command=request.command,
        machine=describe_machine(),
        versions=installed_versions(*_PACKAGES),
    )
    found.write(request.out)
    return found


def _make(shop: Workshop) -> Made:
    request = shop.request
    on_cpu = request.device == "cpu" and not request.simulate
    match request.recipe:
        case RecipeName.FIG8:
            return make_contest(shop)
        case RecipeName.GRID:
            return make_grid(shop)
        case RecipeName.QUEUE:
            return make_matrix(shop)
        # The ablation draws with ONNX Runtime on the CPU; elsewhere the same rows are drawn like any others.
        case RecipeName.TABLE3 if on_cpu:
            return make_ablation(shop)
        case RecipeName.FIG7 if request.on_trial:
            return make_trial(shop)
        case _:
            return make_rows(shop)


def _lengths(request: Request) -> dict[str, str]:
    """How long a recipe measures: figures of other lengths are not put into its table."""
    match request.recipe:
        case RecipeName.FIG8:
            return {"plans": str(request.plan_count), "prompts": str(request.count or "")}
        case RecipeName.QUEUE:
            load = request.load
            words = (load.requests, load.objective_ms, " ".join(load.serve), load.seed)
            return {"load": ", ".join(map(str, words))}
        case RecipeName.FIG7 | RecipeName.GRID:
            return {"repeats": str(request.repeats)}
        case _:
            return {}
