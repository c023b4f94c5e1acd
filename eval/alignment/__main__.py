"""Trains the dual encoder: `python -m mixdq.eval.alignment --out DIR`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from mixdq.configs.documents import to_json
from mixdq.configs.errors import EXIT_BAD_INPUT, MixdqError
from mixdq.eval.alignment.train import SHIPPED_SHAPE, Settings, train
from mixdq.export.emoji_turbo.data import default_folder

EXIT_UNFINISHED = 3
"""Exit code when the time given ran out: the same command goes on."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line, returns the exit code."""
    options = _parser().parse_args(arguments)
    settings = Settings(
        out=options.out,
        data=options.data,
        shape=SHIPPED_SHAPE,
        steps=options.steps,
        emoji=options.emoji,
        resolutions=tuple(sorted(options.resolutions)),
        styles=options.styles,
        minutes=options.minutes,
        validate=options.validate,
        token_loss=options.token_loss,
        seed=options.seed,
        limit=options.limit,
    )
    try:
        report = train(settings, options.device)
    except MixdqError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    if report is None:
        print(
            f"stopped after {options.minutes} minutes; run the same command again to go on", file=sys.stderr
        )
        return EXIT_UNFINISHED
    print(to_json(report), end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m mixdq.eval.alignment",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="the folder to write; checkpoints go to OUT-checkpoint")
    add("--data", type=Path, default=default_folder(), help="where the npm packages lie or will lie")
    add("--steps", type=int, default=600, help="steps of the optimizer")
    add("--emoji", type=int, default=384, help="emoji in each step, two views of each")
    add(
        "--resolutions",
        type=int,
        nargs="*",
        default=[128, 192, 256],
        help="pixels at which emoji-turbo draws additional views",
    )
    add(
        "--styles",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="take other artists' drawings for additional views; needs `pip install resvg-py`",
    )
    add("--minutes", type=float, default=float("inf"), help="stop with a checkpoint after so long")
    add("--validate", action="store_true", help="compare settings: leave out and measure another tenth")
    add("--token-loss", type=float, default=0.3, help="share of a caption's tokens left out in training")
    add("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    add("--limit", type=int, help="use only so many emoji, the first of the list")
    add("--seed", type=int, default=0, help="of everything random")
    return parser


if __name__ == "__main__":
    sys.exit(main())
