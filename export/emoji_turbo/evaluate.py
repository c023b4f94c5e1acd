"""The model's figures, measured on the diffusers folder through diffusers' own pipeline."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image

from mixdq.configs.errors import EXIT_BAD_INPUT, MixdqError, ModelError
from mixdq.configs.files import write_text, writing
from mixdq.export.emoji_turbo.bos import bos_ratio
from mixdq.export.emoji_turbo.data import Pixels, default_folder, load_emoji

_SHEET = 64
"""Pictures on a contact sheet."""


def psnr(made: Pixels, expected: Pixels) -> npt.NDArray[np.float64]:
    """Peak signal to noise ratio in dB of each picture of `[picture, height, width, 3]` bytes."""
    error = (made.astype(np.float64) - expected.astype(np.float64)) ** 2
    return np.asarray(10 * np.log10(255**2 / np.maximum(error.mean(axis=(1, 2, 3)), 1e-3)))


def generate(pipeline: Any, captions: Sequence[str], size: int, batch: int, seed: int) -> Iterator[Pixels]:
    """One-step pictures of the captions in order, `[batch, size, size, 3]` bytes at a time."""
    noise = torch.Generator().manual_seed(seed)
    for start in range(0, len(captions), batch):
        pictures = pipeline(
            list(captions[start : start + batch]), num_inference_steps=1, guidance_scale=0.0, generator=noise,
            height=size, width=size, output_type="np",
        ).images  # fmt: skip
        yield (pictures * 255).round().astype(np.uint8)


def evaluate(
    pipeline: Any, data_folder: Path, sizes: Sequence[int], every: int, batch: int, seed: int
) -> dict[str, Any]:
    """Figures over every `every`-th caption: PSNR in dB by size, and the BOS outlier's ratio."""
    data = load_emoji(data_folder, sizes)
    captions = [one.label for one in data.emoji][::every]
    with torch.no_grad():
        text = pipeline.encode_prompt(captions, device=pipeline.device, do_classifier_free_guidance=False)[0]
    figures: dict[str, Any] = {"captions": len(captions), "seed": seed, "dtype": str(pipeline.unet.dtype)}
    figures["bos_ratio"] = round(bos_ratio(text), 1)
    figures["bos_varies"] = float((text[:, 0] - text[:1, 0]).abs().max())
    figures["largest_other_token"] = round(float(text[:, 1:].abs().max()), 3)
    for size in sizes:
        made = np.concatenate(list(generate(pipeline, captions, size, batch, seed + size)))
        values = psnr(made, data.pictures[size][::every])
        low, middle = np.percentile(values, [5, 50])
        figures[f"psnr_{size}"] = {
            "mean": round(float(values.mean()), 2), "median": round(float(middle), 2),
            "percentile_5": round(float(low), 2), "least": round(float(values.min()), 2),
        }  # fmt: skip
    return figures


def contact_sheet(pictures: Pixels, columns: int) -> Image.Image:
    """The pictures side by side, `columns` a row."""
    count, height, width, _ = pictures.shape
    sheet = Image.new("RGB", (columns * width, -(-count // columns) * height), "white")
    for i, picture in enumerate(pictures):
        sheet.paste(Image.fromarray(picture), (i % columns * width, i // columns * height))
    return sheet


def load_pipeline(folder: Path, device: str, dtype: torch.dtype) -> Any:
    """The folder's pipeline, without progress bars.

    Raises:
        ModelError: the folder is no diffusers pipeline.
    """
    if not (folder / "model_index.json").is_file():
        raise ModelError(f"expected a diffusers folder with a model_index.json in {folder}; train one first")
    try:
        pipeline: Any = StableDiffusionXLPipeline.from_pretrained(folder).to(device, dtype)
    except (OSError, ValueError) as error:
        raise ModelError(f"expected a diffusers folder in {folder}, found {error}; train it again") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures a folder, prints the figures and writes them with contact sheets; returns the exit code."""
    options = _parser().parse_args(arguments)
    dtype = torch.float16 if options.half else torch.float32
    try:
        pipeline = load_pipeline(options.model, options.device, dtype)
        figures = evaluate(pipeline, options.data, options.sizes, options.every, options.batch, options.seed)
        labels = [one.label for one in load_emoji(options.data, ()).emoji]
        captions = [*options.prompts, *labels[:: max(1, len(labels) // _SHEET)]][:_SHEET]
        for size in options.sizes:
            made = np.concatenate(list(generate(pipeline, captions, size, options.batch, options.seed)))
            with writing(options.out / f"sheet-{size}.png") as temporary:
                contact_sheet(made, 8).save(temporary, format="PNG")
        write_text(options.out / "figures.json", json.dumps(figures, indent=2) + "\n")
    except MixdqError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    print(json.dumps(figures, indent=2))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m mixdq.export.emoji_turbo.evaluate", description=__doc__)
    add = parser.add_argument
    add("model", type=Path, help="the diffusers folder")
    add("--out", type=Path, required=True, help="folder for figures.json and the contact sheets")
    add("--data", type=Path, default=default_folder(), help="where the npm packages lie or will lie")
    add("--sizes", type=int, nargs="+", default=[128, 192, 256], help="pictures' widths in pixels")
    add("--every", type=int, default=1, help="use every n-th caption")
    add("--batch", type=int, default=64, help="pictures at once")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--half", action="store_true", help="compute in FP16")
    add("--prompts", nargs="*", default=["a red apple", "sleepy cat"], help="first on the contact sheets")
    add("--seed", type=int, default=1, help="of the noise")
    return parser


if __name__ == "__main__":
    sys.exit(main())
