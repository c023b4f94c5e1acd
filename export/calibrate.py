"""Calibration: run prompts through the model and record what each layer's input ranges over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mixdq.configs.errors import ModelError
from mixdq.configs.files import sha256_of_text
from mixdq.configs.layers import LayerName, LayerSpec, LayerTable
from mixdq.configs.ranges import CalibrationRun, Range, RangeTable
from mixdq.export.calibrate_size import batch_size
from mixdq.export.layers import quantizable
from mixdq.export.reference import ReferencePipeline, unit_noise
from mixdq.export.repeatable import repeatable
from mixdq.export.source import SourceModel

_SEEDS = 2**31


def calibrate(
    source: SourceModel,
    table: LayerTable,
    *,
    prompts: Sequence[str],
    seed: int,
    resolutions: Sequence[int],
    steps: int,
    advance: Callable[[], None],
    device: str = "cpu",
) -> RangeTable:
    """Measures the ranges of all layers over prompts and resolutions, in FP32.

    Args:
        source: the checked model folder.
        table: its layers.
        prompts: at least one.
        seed: of the initial noise; each resolution and batch draws its own.
        resolutions: pixels; the ranges cover all of them.
        steps: denoising steps of the model's own sampler; the ranges cover all of them.
        advance: called after every batch of prompts (see `mixdq.export.calibrate_size`).
        device: torch's name of it. On the CPU each layer reads its weights when it runs; elsewhere the whole
            model is loaded, in FP32.

    Raises:
        ModelError: no prompts, or values that are not finite.
    """
    if not prompts:
        raise ModelError("calibration needs at least one prompt; the prompt file is empty")
    pipeline = (
        ReferencePipeline(source, streamed=True)
        if device == "cpu"
        else ReferencePipeline(source, streamed=False, device=device)
    )
    observer = _Observer(pipeline.unet, table)
    for resolution in resolutions:
        source.check_resolution(resolution)
        size = batch_size(resolution)
        for start in range(0, len(prompts), size):
            batch = prompts[start : start + size]
            batch_seed = (seed + 100_003 * start + resolution) % _SEEDS
            noise = unit_noise(source, len(batch), resolution, batch_seed)
            with repeatable():
                pipeline.latents(batch, noise.to(device), resolution, steps)
            advance()
    rows = observer.bos_rows()
    run = CalibrationRun(len(prompts), sha256_of_text("\n".join(prompts)), seed, tuple(resolutions), steps)
    return RangeTable(
        model=table.model,
        layers_digest=table.digest,
        calibration=run,
        bos=tuple(rows[0].tolist()),
        bos_change=float((rows - rows[0]).abs().max() / rows[0].abs().max()),
        bos_range=Range(float(rows.min()), float(rows.max())),
        layers=observer.ranges(),
    )


class _Observer:
    """Hooks that record every layer's input range and the text embedding's first row."""

    def __init__(self, unet: nn.Module, table: LayerTable) -> None:
        self._extremes: dict[tuple[LayerName, int], tuple[Tensor, Tensor]] = {}
        self._bos_rows: list[Tensor] = []
        modules = dict(quantizable(unet))
        for layer in table:
            modules[layer.name].register_forward_pre_hook(self._hook(layer))
        unet.register_forward_pre_hook(self._see_text, with_kwargs=True)

    def ranges(self) -> dict[LayerName, tuple[Range, ...]]:
        """The ranges by layer, halves in order."""
        ranges: dict[LayerName, tuple[Range, ...]] = {}
        for (name, _), (low, high) in sorted(self._extremes.items(), key=lambda item: item[0][1]):
            if not (bool(torch.isfinite(low)) and bool(torch.isfinite(high))):
                raise ModelError(
                    f"the input of {name} holds NaN or infinity on the calibration prompts, where finite "
                    "values were expected: a layer before it overflows even in FP32; use other weights, or a "
                    "smaller scale of a --lora"
                )
            ranges[name] = (*ranges.get(name, ()), Range(float(low), float(high)))
        return ranges

    def bos_rows(self) -> Tensor:
        """The text embedding's first row for every prompt and resolution, `[N, C]`."""
        return torch.cat(self._bos_rows)

    def _hook(self, layer: LayerSpec) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def observe(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            for index, part in enumerate(quantized_parts(layer, inputs[0])):
                low, high = torch.aminmax(part)
                if (seen := self._extremes.get((layer.name, index))) is not None:
                    low, high = torch.minimum(low, seen[0]), torch.maximum(high, seen[1])
                self._extremes[layer.name, index] = (low, high)

        return observe

    def _see_text(self, _: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        text: Tensor = named["encoder_hidden_states"]
        self._bos_rows.append(text[:, 0].clone())


def quantized_parts(layer: LayerSpec, activation: Tensor) -> tuple[Tensor, ...]:
    """What of a layer's input is quantized: without token 0 of the text, or in the shortcut's two halves."""
    if layer.reads_text:
        return (activation[:, 1:],)
    if layer.split is not None:
        return (activation[:, : layer.split], activation[:, layer.split :])
    return (activation,)
