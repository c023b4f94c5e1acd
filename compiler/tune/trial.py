"""What was measured of one plan on its target: times of both engines, and what the quantized one gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic.dataclasses import dataclass

from mixdq.compiler.tune.paired import Paired
from mixdq.configs.documents import STRICT
from mixdq.configs.layers import LayerName


@dataclass(frozen=True, slots=True, config=STRICT)
class Times:
    """One run of the UNet at one resolution.

    Attributes:
        whole: without a profiler.
        layers: by the profiler: a layer's own kernels and its share of the quantization that feeds it. One
            is missing if the profile of one of the engines names no kernel of it.
        rest: by the profiler: what belongs to no layer.
    """

    whole: Paired
    layers: Mapping[LayerName, Paired]
    rest: Paired


@dataclass(frozen=True, slots=True, config=STRICT)
class Outputs:
    """What the quantized engine makes of fixed prompts and noise at one resolution, beside full precision.

    Attributes:
        finite: whether its predictions, their pictures and all quantized inputs hold no NaN and no infinity.
        broken: layers whose input holds some, in the graph's order.
        psnr_db: of the pictures, mean; None if not finite.
        sqnr_db: of the predictions, likewise.
        ends: share of the pictures' values at black or white.
        full_ends: likewise of full precision's.
        clipped: by layer, the share of its input's values beyond the ends of its range; of those clipped.
        uncounted: why clipping and broken layers could not be looked for; empty if they were.
    """

    finite: bool
    broken: tuple[LayerName, ...]
    psnr_db: float | None
    sqnr_db: float | None
    ends: float
    full_ends: float
    clipped: Mapping[LayerName, float]
    uncounted: str = ""


@dataclass(frozen=True, slots=True, config=STRICT)
class Trial:
    """A plan, measured.

    Attributes:
        plan: its digest.
        quantized: layers whose weight is quantized.
        bytes: of the quantizable layers' weights and scales, as stored.
        engines: SHA-256 of the files of its UNet, by their paths.
        times: by resolution.
        outputs: by resolution.
    """

    plan: str
    quantized: int
    bytes: int
    engines: Mapping[str, str]
    times: Mapping[int, Times]
    outputs: Mapping[int, Outputs]

    @property
    def ratio(self) -> float:
        """The quantized engine's time over full precision's: medians, all resolutions together."""
        wholes = [times.whole for times in self.times.values()]
        candidate = sum(whole.candidate.median_us for whole in wholes)
        return candidate / sum(whole.full.median_us for whole in wholes)

    @property
    def slower_at(self) -> tuple[int, ...]:
        """The resolutions at which the whole engine is slower than full precision, beyond the spread."""
        return tuple(resolution for resolution, times in self.times.items() if times.whole.slower)

    @property
    def faster(self) -> bool:
        """Whether the whole engine is faster at all resolutions, beyond the spread."""
        return all(times.whole.faster for times in self.times.values())

    @property
    def psnr_db(self) -> float | None:
        """Of the resolution that is worst; None if something is not finite."""
        found = [outputs.psnr_db for outputs in self.outputs.values()]
        return None if None in found else min(value for value in found if value is not None)

    def of_layer(self, layer: LayerName) -> Iterator[Paired]:
        """A layer's times at all resolutions."""
        return (times.layers[layer] for times in self.times.values() if layer in times.layers)

    def clipped(self, limit: float) -> dict[LayerName, float]:
        """The layers that clip more of their input than a limit, with the share at the worst resolution."""
        worst: dict[LayerName, float] = {}
        for outputs in self.outputs.values():
            for layer, share in outputs.clipped.items():
                if share > limit:
                    worst[layer] = max(share, worst.get(layer, 0.0))
        return worst
