"""Modules whose weights are all in memory, or one layer's at a time; bad weights are refused by name."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mixdq.compiler.torch_stages import check_weights
from mixdq.configs.bundle import Component
from mixdq.configs.errors import ModelError
from mixdq.configs.model_choice import ModelChoice
from mixdq.export.layers import unet_inputs
from mixdq.export.modules import UnetForExport, load_module, stream_module
from mixdq.export.source import SourceModel, open_source

WEIGHTS = "diffusion_pytorch_model.safetensors"
NAME = "decoder.conv_out.bias"


def _rewrite(model: Path, tensors: dict[str, torch.Tensor]) -> SourceModel:
    path = model / "vae" / WEIGHTS
    path.unlink()
    save_file(tensors, path, metadata={"format": "pt"})
    return open_source(ModelChoice(str(model)))


def _silent(phase: str, done: int, total: int | None) -> None:
    pass


def _tensors(model: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_file(model / "vae" / WEIGHTS)
    return tensors


def test_a_component_loads_in_the_type_asked_for(emoji: SourceModel) -> None:
    vae = load_module(emoji, Component.VAE_DECODER, torch.float32)
    assert {parameter.dtype for parameter in vae.parameters()} == {torch.float32}
    assert not vae.training


def _bytes_in_memory(module: nn.Module) -> int:
    """Of the parameters; what is shared counts once."""
    return sum(
        {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in module.parameters()}.values()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_streamed_module_computes_the_same_bits_and_keeps_no_weights(
    dtype: torch.dtype, emoji: SourceModel
) -> None:
    torch.manual_seed(0)
    inputs = unet_inputs(emoji, batch=2, height=16, width=16, dtype=dtype, device="cpu")
    loaded = load_module(emoji, Component.UNET, dtype)
    streamed = stream_module(emoji, Component.UNET, dtype)
    shapes = {name: (each.shape, each.dtype) for name, each in loaded.named_parameters()}
    wanted = UnetForExport(loaded)(**inputs)
    for _ in range(2):
        assert {name: (each.shape, each.dtype) for name, each in streamed.named_parameters()} == shapes
        assert _bytes_in_memory(streamed) < _bytes_in_memory(loaded) / 1000
        assert torch.equal(UnetForExport(streamed)(**inputs), wanted)


def test_a_streamed_module_refuses_bad_weights_when_it_reads_them(model_copy: Path) -> None:
    tensors = _tensors(model_copy)
    tensors[NAME][1] = float("nan")
    vae: Any = stream_module(_rewrite(model_copy, tensors), Component.VAE_DECODER, torch.float32)
    with pytest.raises(ModelError, match=f"NaN or infinity in {NAME}"):
        vae.decode(torch.zeros(1, 4, 4, 4))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(model_copy: Path, bad: float) -> None:
    tensors = _tensors(model_copy)
    tensors[NAME][1] = bad
    source = _rewrite(model_copy, tensors)
    with pytest.raises(ModelError, match=f"NaN or infinity in {NAME}"):
        load_module(source, Component.VAE_DECODER, torch.float32)


def test_a_missing_tensor_is_named(model_copy: Path) -> None:
    tensors = _tensors(model_copy)
    del tensors[NAME]
    source = _rewrite(model_copy, tensors)
    with pytest.raises(ModelError, match=f"there is no {NAME}"):
        load_module(source, Component.VAE_DECODER, torch.float32)
    with pytest.raises(
        ModelError, match=rf"vae/{WEIGHTS} does not fit .*vae/config.json: missing {NAME} \(1 in all\)"
    ):
        check_weights(_silent, source)


def test_an_unknown_tensor_is_named(model_copy: Path) -> None:
    source = _rewrite(model_copy, _tensors(model_copy) | {"decoder.extra": torch.zeros(1)})
    with pytest.raises(ModelError, match=r"does not fit .*: unknown decoder\.extra \(1 in all\)"):
        check_weights(_silent, source)


def test_a_wrongly_shaped_tensor_is_named(model_copy: Path) -> None:
    source = _rewrite(model_copy, _tensors(model_copy) | {NAME: torch.zeros(7)})
    with pytest.raises(ModelError, match=NAME):
        load_module(source, Component.VAE_DECODER, torch.float32)
    with pytest.raises(ModelError, match=rf"wrongly shaped {NAME} \[7\] instead of \[3\]"):
        check_weights(_silent, source)


def test_a_type_that_is_not_read_is_named_before_the_long_work(model_copy: Path) -> None:
    source = _rewrite(model_copy, _tensors(model_copy) | {NAME: torch.zeros(3, dtype=torch.int8)})
    with pytest.raises(ModelError, match=rf"doesn't read {NAME} I8 \(1 in all\); save the weights as F16"):
        check_weights(_silent, source)


def test_an_autoencoder_without_its_encoder_is_enough(model_copy: Path) -> None:
    unread = ("encoder.", "quant_conv.")
    left = {name: each for name, each in _tensors(model_copy).items() if not name.startswith(unread)}
    source = _rewrite(model_copy, left)
    check_weights(_silent, source)
    vae: Any = stream_module(source, Component.VAE_DECODER, torch.float32)
    assert vae.decode(torch.zeros(1, 4, 4, 4)).sample.shape == (1, 3, 32, 32)


def test_another_vae_is_named_with_its_own_configuration(model_copy: Path) -> None:
    _rewrite(model_copy, {name: each for name, each in _tensors(model_copy).items() if name != NAME})
    source = open_source(ModelChoice("emoji-turbo", vae=str(model_copy)))
    folder = model_copy / "vae"
    with pytest.raises(
        ModelError, match=rf"vae in {folder}/{WEIGHTS} does not fit {folder}/config\.json: missing"
    ):
        check_weights(_silent, source)


def test_weights_from_elsewhere_are_named_by_their_file(model_copy: Path) -> None:
    _rewrite(model_copy, {name: each for name, each in _tensors(model_copy).items() if name != NAME})
    source = open_source(ModelChoice("emoji-turbo", weights=str(model_copy)))
    pattern = rf"vae in {model_copy}/vae/{WEIGHTS} does not fit .*/emoji-turbo/vae/config\.json: missing"
    with pytest.raises(ModelError, match=pattern):
        check_weights(_silent, source)
