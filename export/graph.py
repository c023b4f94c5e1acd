"""Torch to ONNX through the dynamo exporter: one graph a component, symbolic in height and width.

The modules hold fake tensors, so neither time nor memory depends on the weights, which are attached to the
graph later (`mixdq.export.skeleton`). One export serves every resolution, and a third of the time of one
export each. The batch is a number: a symbolic one would double the exporter's time.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx_ir as ir
import torch
from onnx_ir.passes import common
from onnxscript import optimizer
from onnxscript.rewriter import rewrite
from onnxscript.rewriter.rules import common as rules
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.export import Dim

from mixdq.configs.bundle import DOWNSAMPLING_METADATA, Component
from mixdq.configs.errors import GraphError
from mixdq.configs.files import writing
from mixdq.export.layers import unet_inputs
from mixdq.export.modules import TextEncoderForExport, UnetForExport, VaeDecoderForExport, empty_module
from mixdq.export.skeleton import fold_transposes, strip_weights
from mixdq.export.source import SourceModel

OPSET = 23
"""Native Attention (23) and GroupNormalization (21): a third fewer nodes than opset 20, read by ONNX Runtime
1.23 and TensorRT for RTX 1.7; FP16 scales of Q/DQ need 19."""

_RULES = (
    rules.mul_by_1_rule,
    rules.div_by_1_rule,
    rules.add_0_rule,
    rules.sub_0_rule,
    rules.no_op_cast_rule,
    rules.cast_cast_rule,
    rules.no_op_expand_rule,
    rules.no_op_transpose_rule,
    rules.transpose_transpose_rule,
    rules.reshape_reshape_rule,
    rules.unsqueeze_unsqueeze_rule,
    rules.squeeze_reshape_1d_rule,
    rules.materialize_reshape_shape_rule,
)

# torch.export takes equal sides for one symbol, so the example's sides differ.
_UNITS_HIGH, _UNITS_WIDE = 4, 6


@dataclass(frozen=True)
class _Example:
    """A module with the inputs to trace it by; one of them may have symbolic sizes.

    Attributes:
        module: what to export.
        network: the attribute of it that holds the weights.
        inputs: by name.
        outputs: names.
        symbolic: sizes that stay symbolic, by input and axis.
    """

    module: nn.Module
    network: str
    inputs: dict[str, Tensor]
    outputs: list[str]
    symbolic: dict[str, dict[int, Any]]

    @property
    def buffers(self) -> dict[str, npt.NDArray[Any]]:
        """The module's buffers: real values, which the traced program holds as fake ones."""
        return {name: buffer.numpy() for name, buffer in self.module.named_buffers()}


def export_component(
    source: SourceModel, component: Component, path: Path, *, batch: int, report: Callable[[str], None]
) -> None:
    """Writes a component's full-precision graph, without weights.

    The UNet and the text encoders are exported in FP16, as SDXL-Turbo's weights are stored; the VAE decoder
    in the precision of the model choice, because SDXL's overflows in FP16. Nodes keep the module path
    that they came from in their metadata (`pkg.torch.onnx.name_scopes`).

    Args:
        source: the model; only its configurations are read.
        component: which network.
        path: the graph to write.
        batch: images at once.
        report: told what is being done.

    Raises:
        GraphError: the exporter could not trace it.
        StorageError: the disk is full or the folder can't be written.
    """
    report("building the module")
    with FakeTensorMode(allow_non_fake_inputs=True), _quiet():
        example = _EXAMPLES[component](source, batch)
        model = _export(example, component, report)
    strip_weights(model, example.network, example.buffers)
    report("folding constants")
    _simplify(model)
    fold_transposes(model)
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        node.metadata_props.pop("pkg.torch.onnx.stack_trace", None)
    # Printed from sets, in another order each time, and the same export is to have the same digest.
    model.graph.metadata_props.clear()
    model.metadata_props[DOWNSAMPLING_METADATA] = str(source.downsampling)
    with writing(path) as temporary:
        ir.save(model, temporary)


def _export(example: _Example, component: Component, report: Callable[[str], None]) -> ir.Model:
    symbolic = {name: example.symbolic.get(name) for name in example.inputs}
    with torch.no_grad():
        try:
            report("tracing")
            # Exported here and not by torch.onnx.export, which renames the symbols of inputs and leaves
            # those of the values between as they were.
            traced = torch.export.export(example.module, (), kwargs=example.inputs, dynamic_shapes=symbolic)
            report("translating to ONNX")
            program = torch.onnx.export(
                traced,
                output_names=example.outputs,
                opset_version=OPSET,
                optimize=False,  # it would read the weights, which have no values
                dynamo=True,
                verbose=False,
            )
        except (torch.onnx.OnnxExporterError, torch._dynamo.exc.TorchDynamoException, RuntimeError) as error:
            raise GraphError(f"the exporter could not trace {component}: {str(error)[:300]}") from error
    assert program is not None
    model: ir.Model = program.model
    return model


def _simplify(model: ir.Model) -> None:
    """Folds constants and drops what does nothing, as the exporter's `optimize` does, in a fifth of the time.

    Most of that one's goes into looking for slices to merge, of which there are none here.
    """
    common.InlinePass()(model)
    for _ in range(2):
        optimizer.fold_constants_ir(model, onnx_shape_inference=True)
        rewrite(model, _RULES)
    ir.passes.Sequential(
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    )(model)


def _fake(source: SourceModel, component: Component, dtype: torch.dtype) -> nn.Module:
    """A component whose parameters are fake tensors on the CPU, and whose buffers are real."""
    with unset_fake_temporarily():
        module = empty_module(source, component)
    for owner in module.modules():
        for key, parameter in list(owner.named_parameters(recurse=False)):
            fake = torch.empty(parameter.shape, dtype=dtype, device="cpu")
            owner._parameters[key] = nn.Parameter(fake, requires_grad=False)
    return module


def _unet(source: SourceModel, batch: int) -> _Example:
    module = UnetForExport(_fake(source, Component.UNET, torch.float16))
    step = source.resolution_step // source.downsampling
    sides = {"height": _UNITS_HIGH * step, "width": _UNITS_WIDE * step}
    inputs = unet_inputs(source, batch=batch, dtype=torch.float16, device="cpu", **sides)
    height, width = _sides()
    symbolic = {"sample": {2: step * height, 3: step * width}}
    return _Example(module, "unet", inputs, ["noise_prediction"], symbolic)


def _text_encoder(source: SourceModel, batch: int) -> _Example:
    encoder = _fake(source, Component.TEXT_ENCODER, torch.float16)
    module = TextEncoderForExport(encoder, pooled=False)
    return _Example(module, "encoder", _token_inputs(source, batch), ["hidden_states"], {})


def _text_encoder_2(source: SourceModel, batch: int) -> _Example:
    encoder = _fake(source, Component.TEXT_ENCODER_2, torch.float16)
    module = TextEncoderForExport(encoder, pooled=True)
    return _Example(module, "encoder", _token_inputs(source, batch), ["hidden_states", "pooled"], {})


def _token_inputs(source: SourceModel, batch: int) -> dict[str, Tensor]:
    config = source.configs["text_encoder"]
    tokens = torch.arange(batch * config["max_position_embeddings"]).reshape(batch, -1)
    return {"input_ids": tokens % config["vocab_size"]}


def _vae_decoder(source: SourceModel, batch: int) -> _Example:
    dtype = getattr(torch, source.choice.vae_precision)
    module = VaeDecoderForExport(_fake(source, Component.VAE_DECODER, dtype), dtype)
    channels = source.configs["vae"]["latent_channels"]
    latents = torch.randn(batch, channels, 4 * _UNITS_HIGH, 4 * _UNITS_WIDE)
    height, width = _sides()
    return _Example(module, "vae", {"latents": latents}, ["images"], {"latents": {2: height, 3: width}})


def _sides() -> tuple[Dim, Dim]:
    return Dim("height", max=512), Dim("width", max=512)


_EXAMPLES = {
    Component.UNET: _unet,
    Component.TEXT_ENCODER: _text_encoder,
    Component.TEXT_ENCODER_2: _text_encoder_2,
    Component.VAE_DECODER: _vae_decoder,
}


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
