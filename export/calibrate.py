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
from mixdq.export.calibrate_size import batch_size, batch_starts
from mixdq.export.layers import quantizable
from mixdq.export.reference import ReferencePipeline, unit_noise
from mixdq.export.repeatable import repeatable
from mixdq.export.seen import Seen
from mixdq.export.source import SourceModel

_SEEDS = 2**31
_Extremes = tuple[Tensor, Tensor]


def calibrate(
    source: SourceModel,
    table: LayerTable,
    *,
    prompts: Sequence[str],
    seed: int,
    resolutions: Sequence[int],
    steps: int,
    advance: Callable[[Seen], None],
    begun: Seen | None = None,
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
        advance: called after every batch of prompts (see `mixdq.export.calibrate_size`) with what all of them
            saw.
        begun: what the first batches of the same calibration saw, which are not run again; the result is the
            same to the bit.
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
    observer = _Observer(pipeline.unet, table, begun, device)
    seen, done = begun, 0 if begun is None else begun.batches
    for resolution, start in batch_starts(len(prompts), resolutions)[done:]:
        source.check_resolution(resolution)
        batch = prompts[start : start + batch_size(resolution)]
        batch_seed = (seed + 100_003 * start + resolution) % _SEEDS
        noise = unit_noise(source, len(batch), resolution, batch_seed)
        with repeatable():
            pipeline.latents(batch, noise.to(device), resolution, steps)
        done += 1
        seen = observer.seen(done)
        advance(seen)
    assert seen is not None
    run = CalibrationRun(len(prompts), sha256_of_text("\n".join(prompts)), seed, tuple(resolutions), steps)
    return RangeTable(
        model=table.model,
        layers_digest=table.digest,
        calibration=run,
        bos=seen.bos,
        bos_change=float(torch.tensor(seen.bos_distance) / torch.tensor(seen.bos).abs().max()),
        bos_range=seen.bos_range,
        layers=seen.layers,
    )


class _Observer:
    """Hooks that record every layer's input range and the text embedding's first row."""

    def __init__(self, unet: nn.Module, table: LayerTable, begun: Seen | None, device: str) -> None:
        self._extremes: dict[tuple[LayerName, int], _Extremes] = {}
        self._bos: Tensor | None = None
        self._bos_extremes: _Extremes | None = None
        self._bos_distance = torch.zeros((), device=device)
        if begun is not None:
            self._take_up(begun, device)
        modules = dict(quantizable(unet))
        for layer in table:
            modules[layer.name].register_forward_pre_hook(self._hook(layer))
        unet.register_forward_pre_hook(self._see_text, with_kwargs=True)

    def seen(self, batches: int) -> Seen:
        """What was seen up to now, in so many batches.

        Raises:
            ModelError: a layer's input was not finite.
        """
        assert self._bos is not None
        assert self._bos_extremes is not None
        return Seen(
            batches=batches,
            layers=self._ranges(),
            bos=tuple(self._bos.tolist()),
            bos_distance=float(self._bos_distance),
            bos_range=Range(*map(float, self._bos_extremes)),
        )

    def _take_up(self, begun: Seen, device: str) -> None:
        for name, halves in begun.layers.items():
            for index, half in enumerate(halves):
                self._extremes[name, index] = _tensors(half, device)
        self._bos = torch.tensor(begun.bos, device=device)
        self._bos_extremes = _tensors(begun.bos_range, device)
        self._bos_distance = torch.tensor(begun.bos_distance, device=device)

    def _ranges(self) -> dict[LayerName, tuple[Range, ...]]:
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

    def _hook(self, layer: LayerSpec) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def observe(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            for index, part in enumerate(quantized_parts(layer, inputs[0])):
                seen = self._extremes.get((layer.name, index))
                self._extremes[layer.name, index] = _widened(seen, part)

        return observe

    def _see_text(self, _: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        rows: Tensor = named["encoder_hidden_states"][:, 0]
        if self._bos is None:
            self._bos = rows[0].clone()
        self._bos_extremes = _widened(self._bos_extremes, rows)
        self._bos_distance = torch.maximum(self._bos_distance, (rows - self._bos).abs().max())


def _widened(seen: _Extremes | None, values: Tensor) -> _Extremes:
    low, high = torch.aminmax(values)
    return (low, high) if seen is None else (torch.minimum(low, seen[0]), torch.maximum(high, seen[1]))


def _tensors(extremes: Range, device: str) -> _Extremes:
    return torch.tensor(extremes.minimum, device=device), torch.tensor(extremes.maximum, device=device)


def quantized_parts(layer: LayerSpec, activation: Tensor) -> tuple[Tensor, ...]:
    """What of a layer's input is quantized: without token 0 of the text, or in the shortcut's two halves."""
    if layer.reads_text:
        return (activation[:, 1:],)
    if layer.split is not None:
        return (activation[:, : layer.split], activation[:, layer.split :])
    return (activation,)
