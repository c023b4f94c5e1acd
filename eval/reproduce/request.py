"""What a recipe is asked for: the model, what the user brings, and how much of it to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mixdq.configs.presets import model_name
from mixdq.eval.quality.bootstrap import Bootstrap
from mixdq.eval.quality.request import Weights
from mixdq.eval.reproduce.recipe import RecipeName

_REFERENCE_MODEL = "emoji-turbo"


@dataclass(frozen=True, slots=True)
class Load:
    """How the recipe `queue` loads servers.

    Attributes:
        requests: of each pattern.
        objective_ms: from arrival to picture.
        serve: further options of `mixdq-serve`.
        seed: of the arrivals.
    """

    requests: int
    objective_ms: float
    serve: tuple[str, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Request:
    """A recipe as it is asked for.

    Attributes:
        recipe: which.
        model: a name, a diffusers folder or a hub id.
        weights: of the model, in place of its own.
        out: the folder of the results.
        work: the folder of what recipes share: export, ranges, plans, bundles, pictures.
        prompts: a file; None for emoji-turbo's list.
        count: how many of them; None for as many as the source drew.
        seed: of the noise: prompt i has seed + i.
        resolution: pixels; None for the least of the model's preset.
        sensitivity: files; none for those that ship with the model.
        plans: searched ones, `ROW=FILE`.
        reference: a folder of photographs that FID is against; None for full precision's pictures.
        scorers: files of weights.
        device: what ONNX Runtime, or torch, draws on.
        simulate: whether torch simulates the plans, in place of bundles in ONNX Runtime.
        partial: whether to leave out what scorers and photographs are missing for.
        calibration_count: of the preset's prompts; None for all.
        bootstrap: of the intervals.
        repeats: pictures that a process is timed on.
        plan_count: plans of the recipe `fig8`.
        load: of the recipe `queue`.
        command: as it was given.
    """

    recipe: RecipeName
    model: str
    weights: str | None
    out: Path
    work: Path
    prompts: Path | None
    count: int | None
    seed: int
    resolution: int | None
    sensitivity: tuple[Path, ...]
    plans: tuple[str, ...]
    reference: Path | None
    scorers: Weights
    device: str
    simulate: bool
    partial: bool
    calibration_count: int | None
    bootstrap: Bootstrap
    repeats: int
    plan_count: int
    load: Load
    command: str

    @property
    def on_emoji(self) -> bool:
        """Whether the model is the one that ships with its prompts and its scorer."""
        return model_name(self.model) == _REFERENCE_MODEL

    @property
    def on_trial(self) -> bool:
        """Whether the UNet alone is timed on a GPU, with made-up weights: no pictures, no plans to search."""
        return self.recipe is RecipeName.FIG7 and self.device == "cuda"
