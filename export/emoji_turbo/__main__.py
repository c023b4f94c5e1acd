"""Trains the reference model: `python -m mixdq.export.emoji_turbo --out DIR`, or torchrun for python."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mixdq.configs.errors import EXIT_BAD_INPUT, MixdqError
from mixdq.export.emoji_turbo.architecture import EMOJI_TURBO
from mixdq.export.emoji_turbo.data import default_folder
from mixdq.export.emoji_turbo.train import Settings, train
from mixdq.export.emoji_turbo.workers import joined_workers

EXIT_UNFINISHED = 3
"""Exit code when the time given ran out: the same command goes on."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line, returns the exit code."""
    options = _parser().parse_args(arguments)
    settings = Settings(
        out=options.out,
        data=options.data,
        checkpoints=options.checkpoint or options.out.with_name(f"{options.out.name}-checkpoint"),
        sizes=tuple(sorted(options.sizes)),
        steps={"vae": options.vae_steps, "unet": options.unet_steps, "finish": options.finish_steps},
        batches={"vae": options.vae_batch, "unet": options.unet_batch, "finish": options.finish_batch},
        minutes=options.minutes,
        save_every=options.save_every,
        compile=options.compile,
        seed=options.seed,
        limit=options.limit,
    )
    try:
        with joined_workers(options.device) as workers:
            done = train(EMOJI_TURBO, settings, workers)
    except MixdqError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    if not done:
        print(
            f"stopped after {options.minutes} minutes; run the same command again to go on", file=sys.stderr
        )
        return EXIT_UNFINISHED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m mixdq.export.emoji_turbo",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="the diffusers folder to write")
    add("--data", type=Path, default=default_folder(), help="where the npm packages lie or will lie")
    add("--checkpoint", type=Path, help="folder of the checkpoints; default: OUT-checkpoint")
    add("--sizes", type=int, nargs="+", default=[128, 192, 256], help="pictures' widths in pixels")
    add("--vae-steps", type=int, default=9000, help="steps of the autoencoder")
    add("--unet-steps", type=int, default=27000, help="steps of text encoders and UNet towards latents")
    add("--finish-steps", type=int, default=2500, help="steps of all but the encoder towards pixels")
    add(
        "--vae-batch",
        type=int,
        default=64,
        help="pictures a step and process at the smallest size; fewer if larger",
    )
    add("--unet-batch", type=int, default=128, help="likewise")
    add("--finish-batch", type=int, default=48, help="likewise")
    add("--minutes", type=float, default=float("inf"), help="stop with a checkpoint after so long")
    add("--save-every", type=int, default=500, help="steps between checkpoints")
    add(
        "--compile",
        action="store_true",
        help="use torch.compile: a minute or more a stage, then faster steps",
    )
    add("--device", choices=["cpu", "cuda"], help="default: cuda where there is one")
    add("--limit", type=int, help="use only so many emoji, the first of the list")
    add("--seed", type=int, default=0, help="of everything random")
    return parser


if __name__ == "__main__":
    sys.exit(main())
