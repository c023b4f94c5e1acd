"""Graphs without weights, and the weights that are put into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mixdq.configs.bundle import Component
from mixdq.configs.errors import GraphError, ModelError
from mixdq.configs.target import ORT_DISABLED_OPTIMIZERS
from mixdq.export.layers import unet_inputs
from mixdq.export.modules import (
    TextEncoderForExport,
    UnetForExport,
    VaeDecoderForExport,
    empty_module,
    load_module,
)
from mixdq.export.skeleton import attach_weights, strip_weights
from mixdq.export.source import SUBFOLDERS, SourceModel
from mixdq.export.weights.files import StoredWeights
from mixdq.export.weights.reader import WeightReader


def _reader(source: SourceModel, component: Component) -> WeightReader:
    return source.weights[SUBFOLDERS[component]].open()


@pytest.fixture
def skeletons(emoji_folder: Path, emoji_full: Path) -> Path:
    """The folder of the skeletons that emoji-turbo's bundles were made from; read only."""
    assert emoji_full.is_dir()
    return emoji_folder / "work" / "source"


@pytest.mark.parametrize("component", list(Component))
def test_a_skeleton_names_the_weights_that_its_network_reads_and_holds_none(
    component: Component, emoji: SourceModel, skeletons: Path
) -> None:
    path = skeletons / f"{component}.onnx"
    model = ir.load(path)
    metadata = [value.metadata_props for value in model.graph.inputs]
    named = [props["mixdq.weight"] for props in metadata if "mixdq.weight" in props]
    wanted = {name for name, _ in empty_module(emoji, component).named_parameters()}
    assert sorted(named) == sorted(name for name in wanted if not name.startswith(_unread(emoji, component)))
    constants = [value.const_value for value in model.graph.initializers.values()]
    assert sum(tensor.nbytes for tensor in constants if tensor is not None) < 50_000
    assert path.stat().st_size < 2_000_000


def _unread(emoji: SourceModel, component: Component) -> tuple[str, ...]:
    """What no picture needs: the VAE's encoder, and what follows the hidden states that SDXL takes."""
    if component is Component.VAE_DECODER:
        return ("encoder.", "quant_conv.")
    if component is Component.TEXT_ENCODER:
        last = emoji.configs["text_encoder"]["num_hidden_layers"] - 1
        return (f"encoder.layers.{last}.", "final_layer_norm.")
    return ()


@pytest.mark.parametrize("component", [Component.UNET, Component.VAE_DECODER])
def test_attached_weights_are_the_modules_transposed_where_a_product_reads_them(
    component: Component, emoji: SourceModel, skeletons: Path
) -> None:
    dtype = torch.float32 if component is Component.VAE_DECODER else torch.float16
    module = load_module(emoji, component, dtype)
    model = ir.load(skeletons / f"{component}.onnx")
    attach_weights(model, _reader(emoji, component))
    assert not any("mixdq.weight" in value.metadata_props for value in model.graph.inputs)
    turned = []
    for value in model.graph.initializers.values():
        if (name := value.metadata_props.get("mixdq.weight")) is None:
            continue
        assert value.const_value is not None
        wanted = module.get_parameter(name).numpy()
        if "mixdq.weight_transposed" in value.metadata_props:
            assert {node.op_type for node in value.consumers()} == {"MatMul"}
            turned.append(name)
            wanted = wanted.T
        np.testing.assert_array_equal(value.const_value.numpy(), wanted, err_msg=name, strict=True)
    linear = {name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    assert turned
    assert {name.removesuffix(".weight") for name in turned} <= linear


def test_a_buffer_keeps_its_values(skeletons: Path) -> None:
    constants = ir.load(skeletons / "text_encoder.onnx").graph.initializers.values()
    positions = [tensor.numpy() for each in constants if (tensor := each.const_value) and tensor.size == 77]
    assert [array.tolist() for array in positions] == [[list(range(77))]]


def test_a_graph_that_names_no_weights_is_no_skeleton(emoji: SourceModel, emoji_full: Path) -> None:
    model = ir.load(emoji_full / "onnx" / "ort" / "text_encoder.onnx")
    with pytest.raises(GraphError, match=r"names no weights; run `mixdq-compile export` again"):
        attach_weights(model, _reader(emoji, Component.TEXT_ENCODER))


def test_a_weight_of_another_shape_is_refused(emoji: SourceModel) -> None:
    model = ir.from_onnx_text(
        '<ir_version: 10, opset_import: ["" : 23]> g (float[2] x) => (float[2] y)'
        '<float[2] "net.conv_in.bias" = {0, 0}> { y = Add (x, "net.conv_in.bias") }'
    )
    strip_weights(model, "net", {})
    with pytest.raises(ModelError, match=r"conv_in\.bias"):
        attach_weights(model, _reader(emoji, Component.UNET))


def _one_weight(folder: Path, values: torch.Tensor, kind: str) -> ir.TensorProtocol:
    """A weight of a skeleton in FP16, FP32 or BF16, stored as it is given."""
    file = folder / "unet.safetensors"
    save_file({"conv_in.bias": values}, file)
    model = ir.from_onnx_text(
        f'<ir_version: 10, opset_import: ["" : 23]> g ({kind}[N] x) => ({kind}[N] y)'
        f'<{kind}[2] "net.conv_in.bias" = {{0, 0}}> {{ y = Add (x, "net.conv_in.bias") }}'
    )
    model.graph.initializers["net.conv_in.bias"].shape = ir.Shape(values.shape)
    strip_weights(model, "net", {})
    attach_weights(model, StoredWeights((file,)).open())
    tensor = model.graph.initializers["net.conv_in.bias"].const_value
    assert tensor is not None
    return tensor


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [1e5, -1e5])
@pytest.mark.parametrize("repeats", [1, 9999])  # read at once, and when it is asked for
def test_a_finite_weight_beyond_half_precision_is_refused_by_name(
    tmp_path: Path, dtype: torch.dtype, value: float, repeats: int
) -> None:
    largest = f"{abs(float(torch.tensor(value, dtype=dtype))):.6g}"
    with pytest.raises(ModelError) as caught:
        _one_weight(tmp_path, torch.tensor([1.0, value], dtype=dtype).repeat(repeats), "float16").numpy()
    message = str(caught.value)
    assert f"{tmp_path}/unet.safetensors holds conv_in.bias as " in message
    assert f"up to {largest}, beyond the 65504 that float16" in message
    assert "use weights that were made for float16" in message


def test_a_weight_beyond_brain_floats_is_refused_and_full_precision_holds_it(tmp_path: Path) -> None:
    values = torch.tensor([1.0, torch.finfo(torch.float32).max])
    with pytest.raises(ModelError, match=r"up to 3\.40282e\+38, beyond the 3\.38953e\+38 that bfloat16"):
        _one_weight(tmp_path, values, "bfloat16").numpy()
    np.testing.assert_array_equal(_one_weight(tmp_path, values, "float").numpy(), values.numpy())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_the_largest_half_is_let_through(tmp_path: Path, dtype: torch.dtype) -> None:
    found = _one_weight(tmp_path, torch.tensor([65504.0, -65504.0], dtype=dtype), "float16").numpy()
    np.testing.assert_array_equal(found, np.array([65504, -65504], np.float16), strict=True)


# The graphs compute what the modules do, in FP32; the weights of all but the VAE were stored in FP16.


def _run(graph: Path, feeds: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    session = onnxruntime.InferenceSession(graph, disabled_optimizers=list(ORT_DISABLED_OPTIMIZERS))
    return [np.asarray(output) for output in session.run(None, feeds)]


def _assert_close(found: npt.NDArray[Any], wanted: Tensor, tolerance: float = 5e-5) -> None:
    """Kernels add in another order, so values differ by rounding."""
    error = float(np.abs(found - wanted.numpy()).max())
    assert error <= tolerance * float(wanted.abs().max())


@pytest.mark.parametrize("component", [Component.TEXT_ENCODER, Component.TEXT_ENCODER_2])
def test_the_text_encoders_graphs_agree_with_their_modules(
    component: Component, emoji: SourceModel, emoji_full: Path
) -> None:
    pooled = component is Component.TEXT_ENCODER_2
    ids = torch.arange(77).flip(0)[None]
    module = TextEncoderForExport(load_module(emoji, component, torch.float16).float(), pooled=pooled)
    wanted = module(ids)
    found = _run(emoji_full / "onnx" / "ort" / f"{component}.onnx", {"input_ids": ids.numpy()})
    for one, other in zip(found, wanted if isinstance(wanted, tuple) else [wanted], strict=True):
        # The first encoder's activation has a constant, 1.702, that FP16 holds to 9e-5.
        _assert_close(one, other, tolerance=5e-5 if pooled else 3e-4)


def test_the_unets_graph_agrees_with_its_module(emoji: SourceModel, emoji_full: Path) -> None:
    torch.manual_seed(0)
    inputs = unet_inputs(emoji, batch=1, height=16, width=16, dtype=torch.float32, device="cpu")
    wanted = UnetForExport(load_module(emoji, Component.UNET, torch.float16).float())(**inputs)
    feeds = {name: value.numpy() for name, value in inputs.items()}
    (found,) = _run(emoji_full / "onnx" / "ort" / "unet-128.onnx", feeds)
    _assert_close(found, wanted)


def test_the_vae_decoders_graph_agrees_with_its_module(emoji: SourceModel, emoji_full: Path) -> None:
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    module = load_module(emoji, Component.VAE_DECODER, torch.float32)
    wanted = VaeDecoderForExport(module, torch.float32)(latents)
    graph = emoji_full / "onnx" / "ort" / "vae_decoder-128.onnx"
    (found,) = _run(graph, {"latents": latents.numpy()})
    _assert_close(found, wanted)
