"""What to tune, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.recipe import Recipe
from mixdq.compiler.tune.instrument import Instrument, Runs
from mixdq.compiler.tune.limits import Limits
from mixdq.export.source import SourceModel


@dataclass(frozen=True, slots=True)
class TuneOrder:
    """All that a tuning depends on.

    Attributes:
        recipe: what `run` would make; one target, an engine a resolution.
        source: its model.
        capability: the target with its compute capability.
        out: the folder to write.
        work: the folder of what all plans of the model share.
        jobs: child processes at work at once, but while engines are measured.
        limits: the budgets.
        allow_slower: whether to publish an engine that is slower than full precision.
        runs: how often each engine is timed.
        prompts: of the pictures.
        seed: of their noise.
        instrument: what runs engines.
        restart: whether to drop what an earlier tuning measured.
    """

    recipe: Recipe
    source: SourceModel
    capability: str
    out: Path
    work: Path
    jobs: int
    limits: Limits
    allow_slower: bool
    runs: Runs
    prompts: tuple[str, ...]
    seed: int
    instrument: Instrument
    restart: bool
