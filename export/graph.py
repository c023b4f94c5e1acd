"""Torch to ONNX through the dynamo exporter: one graph a component, symbolic in height and width.

One export serves every resolution, and a third of the time of one export each. The batch is a number: a
symbolic one would double the exporter's time.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.export import Dim

from mixdq.configs.bundle import DOWNSAMPLING_METADATA, Component
from mixdq.configs.errors import GraphError
from mixdq.configs.files import writing
from mixdq.export.layers import unet_inputs
from mixdq.export.modules import TextEncoderForExport, UnetForExport, VaeDecoderForExport, load_module
from mixdq.export.source import SourceModel

OPSET = 23
"""Native Attention (23) and GroupNormalization (21): a third fewer nodes than opset 20, read by ONNX Runtime
1.23 and TensorRT for RTX 1.7; FP16 scales of Q/DQ need 19."""

# torch.export takes equal sides for one symbol, so the example's sides differ.
_UNITS_HIGH, _UNITS_WIDE = 4, 6


@dataclass(frozen=True)
class _Example:
    """A module with the inputs to trace it by; one of them may have symbolic sizes."""

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: list[str]
    symbolic: dict[str, dict[int, Any]]


def export_component(source: SourceModel, component: Component, path: Path, *, batch: int) -> None:
    """Writes a component's full-precision graph, and its weights beside it (`.weights`).

    The UNet and the text encoders are exported in FP16, as SDXL-Turbo's weights are stored; the VAE decoder
    in FP32, because SDXL's overflows in FP16. Nodes keep the module path that they came from in their
    metadata (`pkg.torch.onnx.name_scopes`).

    Raises:
        ModelError: the component can't be loaded.
        GraphError: the exporter could not trace it.
        StorageError: the disk is full or the folder can't be written.
    """
    example = _EXAMPLES[component](source, batch)
    model = _export(example, component)
    model.metadata_props[DOWNSAMPLING_METADATA] = str(source.downsampling)
    weights = path.with_suffix(".weights")
    with writing(path) as temporary, writing(weights) as temporary_weights:
        ir.save(model, temporary, external_data=temporary_weights.name)
        _point_to(temporary, weights.name)


def _export(example: _Example, component: Component) -> ir.Model:
    symbolic = {name: example.symbolic.get(name) for name in example.inputs}
    with torch.no_grad(), _quiet():
        try:
            # Exported here and not by torch.onnx.export, which renames the symbols of inputs and leaves
            # those of the values between as they were.
            traced = torch.export.export(example.module, (), kwargs=example.inputs, dynamic_shapes=symbolic)
            program = torch.onnx.export(
                traced,
                output_names=example.outputs,
                opset_version=OPSET,
                optimize=True,
                dynamo=True,
                verbose=False,
            )
        except (torch.onnx.OnnxExporterError, torch._dynamo.exc.TorchDynamoException, RuntimeError) as error:
            raise GraphError(f"the exporter could not trace {component}: {str(error)[:300]}") from error
    assert program is not None
    model: ir.Model = program.model
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        node.metadata_props.pop("pkg.torch.onnx.stack_trace", None)
    return model


def _unet(source: SourceModel, batch: int) -> _Example:
    module = UnetForExport(load_module(source, Component.UNET, torch.float16))
    step = source.resolution_step // source.downsampling
    sides = {"height": _UNITS_HIGH * step, "width": _UNITS_WIDE * step}
    inputs = unet_inputs(source, batch=batch, dtype=torch.float16, device="cpu", **sides)
    height, width = _sides()
    return _Example(module, inputs, ["noise_prediction"], {"sample": {2: step * height, 3: step * width}})


def _text_encoder(source: SourceModel, batch: int) -> _Example:
    encoder = load_module(source, Component.TEXT_ENCODER, torch.float16)
    module = TextEncoderForExport(encoder, pooled=False)
    return _Example(module, _token_inputs(source, batch), ["hidden_states"], {})


def _text_encoder_2(source: SourceModel, batch: int) -> _Example:
    encoder = load_module(source, Component.TEXT_ENCODER_2, torch.float16)
    module = TextEncoderForExport(encoder, pooled=True)
    return _Example(module, _token_inputs(source, batch), ["hidden_states", "pooled"], {})


def _token_inputs(source: SourceModel, batch: int) -> dict[str, Tensor]:
    config = source.configs["text_encoder"]
    tokens = torch.arange(batch * config["max_position_embeddings"]).reshape(batch, -1)
    return {"input_ids": tokens % config["vocab_size"]}


def _vae_decoder(source: SourceModel, batch: int) -> _Example:
    module = VaeDecoderForExport(load_module(source, Component.VAE_DECODER, torch.float32))
    channels = source.configs["vae"]["latent_channels"]
    latents = torch.randn(batch, channels, 4 * _UNITS_HIGH, 4 * _UNITS_WIDE)
    height, width = _sides()
    return _Example(module, {"latents": latents}, ["images"], {"latents": {2: height, 3: width}})


def _sides() -> tuple[Dim, Dim]:
    return Dim("height", max=512), Dim("width", max=512)


_EXAMPLES = {
    Component.UNET: _unet,
    Component.TEXT_ENCODER: _text_encoder,
    Component.TEXT_ENCODER_2: _text_encoder_2,
    Component.VAE_DECODER: _vae_decoder,
}


def _point_to(graph: Path, weights: str) -> None:
    """Makes a saved graph name its weights file by the name that it is about to get."""
    import onnx

    proto = onnx.load(graph, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = weights
    onnx.save(proto, graph)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporter's notes on libraries that are not installed and on its own internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
