"""The networks as they are compiled: what they take and give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mixdq.compiler.cuda.networks import NetworkOrder, make_network
from mixdq.configs.bundle import Component
from mixdq.configs.plan import uniform_plan
from mixdq.configs.precision import FP16
from mixdq.export.layers import list_layers
from mixdq.export.modules import VaeDecoderForExport, load_module
from mixdq.export.source import SourceModel
from mixdq.runtime.images import to_pixels


@pytest.fixture(scope="module")
def order(emoji: SourceModel) -> NetworkOrder:
    """emoji-turbo at full precision, two images at once."""
    table = list_layers(emoji, (64,))
    plan = uniform_plan(table, FP16, keep=(), protect=(), bos_aware=False, split_shortcuts=False)
    return NetworkOrder(emoji, 2, "cpu", table, plan, None)


def test_the_vae_gives_the_bytes_of_its_decoders_values(order: NetworkOrder) -> None:
    network = make_network(Component.VAE_DECODER, order)
    latents = 4 * torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    decoder = VaeDecoderForExport(
        load_module(order.source, Component.VAE_DECODER, torch.bfloat16), torch.bfloat16
    )
    assert {name: tuple(value.shape) for name, value in network.inputs(64).items()} == {
        "latents": (2, 4, 8, 8)
    }
    with torch.no_grad():
        expected = decoder.to(memory_format=torch.channels_last)(latents).numpy()  # type: ignore[call-overload]
        given = dict(zip(network.outputs, network.module(latents), strict=True))
        broken = network.module(latents.index_fill(0, torch.tensor([1]), float("nan")))
    assert np.abs(expected).max() > 1, "some values must be clipped"
    np.testing.assert_array_equal(given["images"].numpy(), to_pixels(expected))
    assert (given["finite"].tolist(), broken[1].tolist()) == ([True, True], [True, False])


def test_the_unet_rounds_its_inputs_to_fp16_itself_but_for_the_timestep(order: NetworkOrder) -> None:
    network = make_network(Component.UNET, replace(order, batch=1))
    inputs = dict(network.inputs(64)) | {"timestep": torch.tensor(332.67)}
    assert {value.dtype for value in inputs.values()} == {torch.float32}
    halves = {name: value.half() if value.ndim else value for name, value in inputs.items()}
    with torch.no_grad():
        exported = torch.export.export(network.module, tuple(inputs.values()), strict=False).module()
        expected, named = network.module(**halves), network.module(**inputs)
        traced = exported(*inputs.values())
        late = network.module(**inputs | {"timestep": torch.tensor(332.67).half()})
    assert torch.equal(named, expected)
    assert torch.equal(traced, expected)
    assert not torch.equal(late, expected)
