"""The score on emoji-turbo's own pictures: `python -m mixdq.eval.alignment.check BUNDLE … --out FILE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL.Image import Image
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.errors import EXIT_BAD_INPUT, EvaluationError, MixdqError
from mixdq.configs.files import write_text
from mixdq.eval.alignment.accuracy import Accuracy, accuracy
from mixdq.eval.alignment.scorer import MODEL, open_scorer
from mixdq.eval.alignment.split import Side, side
from mixdq.eval.quality.bootstrap import Bootstrap, mean_interval
from mixdq.eval.quality.derangement import derange
from mixdq.eval.scorer import Scores
from mixdq.export.emoji_turbo.data import default_folder, load_emoji
from mixdq.runtime import load

_RESAMPLES = 10_000


@dataclass(frozen=True, slots=True, config=STRICT)
class Difference:
    """A paired difference of scores, prompt by prompt: mean and 95 % interval (bootstrap over prompts)."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, config=STRICT)
class BundleFigures:
    """One bundle's pictures of the same prompts and seeds as every other's.

    Attributes:
        bundle: its folder's name.
        accuracy: retrieval among the prompts.
        matched_minus_shuffled: scores with the own prompt less those with another picture's.
        minus_first: scores less those of the first bundle named; None for that one.
    """

    bundle: str
    accuracy: Accuracy
    matched_minus_shuffled: Difference
    minus_first: Difference | None


@dataclass(frozen=True, slots=True, config=STRICT)
class DrawingReport:
    """Everything measured, with what it depends on.

    Attributes:
        weights_sha256: of the dual encoder.
        emoji: which labels are the prompts: `held out`, or `train` for those trained on.
        resolution: pixels of each side.
        seed: of the first prompt's noise; each next has the next.
        prompts: the labels.
        bundles: the figures.
    """

    weights_sha256: str
    emoji: Side
    resolution: int
    seed: int
    prompts: tuple[str, ...]
    bundles: tuple[BundleFigures, ...]


def check_bundles(
    bundles: Sequence[Path], prompts: Sequence[str], emoji: Side, resolution: int, seed: int
) -> DrawingReport:
    """Draws the prompts with every bundle and scores the pictures with their own and with other prompts.

    Raises:
        EvaluationError: a bundle is not emoji-turbo's, the prompts can't be shuffled, or the dual encoder's
            weights are missing or damaged.
        MixdqError: a bundle can't draw.
    """
    others = derange(prompts, seed) if prompts else None
    if others is None:
        raise EvaluationError(
            f"expected prompts that can be shuffled, two or more that differ, found {len(prompts)} of which "
            f"{len(set(prompts))} differ; ask for more"
        )
    scorer = open_scorer("cpu", 64)
    texts, other_texts = (scorer.embed_prompts(some).numpy() for some in (prompts, others))
    bootstrap = Bootstrap(_RESAMPLES, seed)
    figures: list[BundleFigures] = []
    first: Scores | None = None
    for folder in bundles:
        images = scorer.embed_images(_draw(folder, prompts, resolution, seed)).numpy()
        matched = (images * texts).sum(axis=1)
        shuffled = (images * other_texts).sum(axis=1)
        gap = None if first is None else _difference(matched - first, bootstrap)
        first = matched if first is None else first
        figures.append(
            BundleFigures(
                folder.name, accuracy(images, texts), _difference(matched - shuffled, bootstrap), gap
            )
        )
    return DrawingReport(scorer.weights_sha256, emoji, resolution, seed, tuple(prompts), tuple(figures))


def _draw(folder: Path, prompts: Sequence[str], resolution: int, seed: int) -> list[Image]:
    with load(folder) as pipeline:
        if pipeline.bundle.model.name != MODEL:
            raise EvaluationError(
                f"the emoji alignment score is for {MODEL}'s pictures, and {folder} is of "
                f"{pipeline.bundle.model.name}; name other bundles"
            )
        seeds = range(seed, seed + len(prompts))
        return pipeline(tuple(prompts), seed=tuple(seeds), resolution=resolution)


def _difference(values: Scores, bootstrap: Bootstrap) -> Difference:
    found = mean_interval(values, bootstrap)
    return Difference(found.mean, found.low, found.high)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints the figures and writes them; returns the exit code."""
    options = _parser().parse_args(arguments)
    emoji = Side.HELD_OUT if options.held_out else Side.TRAIN
    try:
        labels = [one.label for one in load_emoji(options.data, ()).emoji if side(one.label) is emoji]
        prompts = labels[:: max(1, len(labels) // options.count)][: options.count]
        report = check_bundles(options.bundles, prompts, emoji, options.resolution, options.seed)
        write_text(options.out, to_json(report))
    except MixdqError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    for one in report.bundles:
        print(to_json(one), end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m mixdq.eval.alignment.check",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("bundles", type=Path, nargs="+", help="folders of emoji-turbo's bundles; full precision first")
    add("--out", type=Path, required=True, help="the file to write")
    add("--data", type=Path, default=default_folder(), help="where the npm packages lie or will lie")
    add("--held-out", action="store_true", help="prompts that training did not see, not those that it did")
    add("--count", type=int, default=160, help="how many prompts, evenly spread")
    add("--resolution", type=int, default=128, help="pixels of each side")
    add("--seed", type=int, default=0, help="of the first picture's noise, and of shuffling and resampling")
    return parser


if __name__ == "__main__":
    sys.exit(main())
