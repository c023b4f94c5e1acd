"""A VAE engine that gives bytes, beside one that gives floating point: the same pictures and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.errors import BundleError, RequestError
from mixdq.runtime import load
from mixdq.runtime.images import gives_pixels

SwapEngine = Callable[[Component, str], None]


def _vae(gain: float = 0.05, *, given: str = "uint8[2,16,16,3] images, bool[2] finite") -> str:
    """The tiny bundle's decoder up to bytes; a negative gain takes a root of it, which is no number."""
    return f"""<ir_version: 10, opset_import: ["" : 20]> vae (float[2,4,2,2] latents) => ({given})
    <int64[3] rgb = {{0, 1, 2}}, float gain = {{{gain**2}}}, float sign = {{{1 if gain > 0 else -1}}},
     float[4] scales = {{1.0, 1.0, 8.0, 8.0}}, int64[3] rest = {{1, 2, 3}},
     float zero = {{0.0}}, float half = {{0.5}}, float one = {{1.0}}, float levels = {{255.0}}> {{
        channels = Gather <axis=1> (latents, rgb)
        signed = Mul (gain, sign)
        root = Sqrt (signed)
        dimmed = Mul (channels, root)
        decoded = Resize <mode="nearest"> (dimmed, "", scales)
        isnan = IsNaN (decoded)
        counted = Cast <to=1> (isnan)
        most = ReduceMax <keepdims=0> (counted, rest)
        finite = Equal (most, zero)
        halved = Mul (decoded, half)
        moved = Add (halved, half)
        plain = Where (isnan, zero, moved)
        clipped = Clip (plain, zero, one)
        scaled = Mul (clipped, levels)
        rounded = Round (scaled)
        bytes = Cast <to=2> (rounded)
        images = Transpose <perm=[0, 2, 3, 1]> (bytes)
    }}"""


@pytest.mark.parametrize("seeds", [[5], [1, 2, 3]])
def test_it_draws_the_same_pictures(tiny_bundle: Path, swap_engine: SwapEngine, seeds: list[int]) -> None:
    before = [image.tobytes() for image in load(tiny_bundle)("abc", seed=seeds, resolution=16)]
    swap_engine(Component.VAE_DECODER, _vae())
    assert gives_pixels(Bundle.read(tiny_bundle).find(Component.VAE_DECODER, "cpu", 16))
    assert not gives_pixels(Bundle.read(tiny_bundle).find(Component.VAE_DECODER, "cpu", 24))
    assert [image.tobytes() for image in load(tiny_bundle)("abc", seed=seeds, resolution=16)] == before
    assert len(set(before)) == len(seeds)


def test_values_that_are_no_numbers_are_the_same_error(tiny_bundle: Path, swap_engine: SwapEngine) -> None:
    swap_engine(Component.VAE_DECODER, _vae(-0.05))
    with pytest.raises(
        RequestError, match="the vae_decoder engine gave values in images that are not finite numbers"
    ):
        load(tiny_bundle)("abc", seed=5, resolution=16)


@pytest.mark.parametrize("given", ["uint8[2,16,16,3] images", "float[2,3,16,16] decoded, bool[2] finite"])
def test_bytes_that_do_not_say_whether_they_were_finite_are_refused(
    tiny_bundle: Path, swap_engine: SwapEngine, given: str
) -> None:
    graph = _vae(given=given)
    if "decoded" in given:
        graph = graph.replace("images", "bytes_in_order").replace("decoded", "images")
    swap_engine(Component.VAE_DECODER, graph)
    with pytest.raises(BundleError, match=r"takes and gives .* expected .* build the bundle again"):
        load(tiny_bundle)("abc", seed=5, resolution=16)
