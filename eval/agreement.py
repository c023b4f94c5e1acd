"""Does the quantized graph compute what the simulation says? Layer by layer, and as a whole.

Rounding flips cascade: two correct kernel sets differ in the last bits, which rounds one activation of a
million to another integer, and a hundred layers later the outputs differ by 30 dB. So layers are compared
one at a time on the same input, and the whole graph beside the spread of the simulation itself under two
kernel sets (torch's in FP32 and in FP64; quantization in FP32 in both).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mixdq.configs.documents import STRICT
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.sqnr import IDENTICAL_DB, sqnr_db
from mixdq.configs.target import ORT_DISABLED_OPTIMIZERS, Dialect
from mixdq.export.modules import UnetForExport
from mixdq.export.reference import ReferencePipeline, unit_noise
from mixdq.export.simulate import SimulatedLayer, simulate
from mixdq.export.source import SourceModel
from mixdq.passes.precompute_bos import TEXT_INPUT

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, config=STRICT)
class Agreement:
    """How closely a quantized graph follows its simulation, in decibels.

    Attributes:
        layers: SQNR of each quantized layer's output, fed the simulation's own input (rounded to FP16 on
            both sides where the graph computes in FP16).
        noise_prediction: SQNR of the UNet's output, graph against simulation.
        kernel_spread: the same, simulation against simulation, FP64 kernels against FP32 kernels.
        image: PSNR of the decoded images, graph against simulation.
        image_spread: the same, FP64 kernels against FP32 kernels.
    """

    layers: Mapping[LayerName, float]
    noise_prediction: float
    kernel_spread: float
    image: float
    image_spread: float


def measure_agreement(
    source: SourceModel,
    graph: Path,
    *,
    table: LayerTable,
    plan: PrecisionPlan,
    ranges: RangeTable,
    dialect: Dialect,
    resolution: int,
    prompt: str,
    seed: int,
) -> Agreement:
    """Compares one UNet graph (batch 1) with the torch simulation of its plan on one prompt."""
    pipeline = ReferencePipeline(source, streamed=False)
    simulate(pipeline.unet, table, plan, ranges, dialect)
    noise = unit_noise(source, 1, resolution, seed)
    seen = _Recorder(pipeline.unet)
    simulated = pipeline.latents([prompt], noise, resolution)
    seen.stop()
    model = ir.external_data.load_to_model(ir.load(graph))
    layers = {
        name: _layer_agreement(model, name, layer, seen.inputs[name].astype(dialect.float_type))
        for name, layer in seen.layers.items()
    }
    expected = _array(seen.unet_output)
    built = _run(graph, seen.unet_inputs)
    other = _in_double(pipeline.unet, seen.unet_inputs)
    # One step of the sampler is x0 = x - sigma * prediction: a change of the prediction shifts x0 by sigma.
    sigma = float(pipeline.pipeline.scheduler.sigmas[0])
    pictures = [
        _decode(pipeline, simulated + sigma * torch.from_numpy(expected - prediction))
        for prediction in (expected, built, other)
    ]
    return Agreement(
        layers=layers,
        noise_prediction=sqnr_db(built, expected),
        kernel_spread=sqnr_db(other, expected),
        image=_psnr_db(pictures[1], pictures[0]),
        image_spread=_psnr_db(pictures[2], pictures[0]),
    )


class _Recorder:
    """The inputs of every simulated layer, and inputs and output of the UNet, in one forward pass."""

    def __init__(self, unet: nn.Module) -> None:
        self.layers: dict[LayerName, SimulatedLayer] = {}
        self.inputs: dict[LayerName, Array] = {}
        self.unet_inputs: dict[str, Array] = {}
        self.unet_output = torch.empty(0)
        self._handles: list[RemovableHandle] = []
        for name, module in unet.named_modules():
            if isinstance(module, SimulatedLayer):
                self.layers[LayerName(name)] = module
                self._handles.append(module.register_forward_pre_hook(self._layer_hook(LayerName(name))))
        self._handles.append(unet.register_forward_hook(self._unet_hook, with_kwargs=True))

    def stop(self) -> None:
        """Records no more."""
        for handle in self._handles:
            handle.remove()

    def _layer_hook(self, name: LayerName) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def record(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            # At one step each layer runs once.
            self.inputs[name] = _array(inputs[0])

        return record

    def _unet_hook(
        self, _: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: tuple[Tensor, ...]
    ) -> None:
        conditions = named["added_cond_kwargs"]
        self.unet_inputs = {
            "sample": _array(inputs[0]),
            "timestep": np.asarray(float(inputs[1]), dtype=np.float32),
            TEXT_INPUT: _array(named["encoder_hidden_states"]),
            "text_embeds": _array(conditions["text_embeds"]),
            "time_ids": _array(conditions["time_ids"]),
        }
        self.unet_output = output[0]


def _run(graph: Path | bytes, feeds: Mapping[str, Array]) -> Array:
    """A graph in ONNX Runtime, with the options of `mixdq.runtime`."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    model = graph if isinstance(graph, bytes) else str(graph)
    session = ort.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(ORT_DISABLED_OPTIMIZERS)
    )
    typed = {
        value.name: feeds[value.name].astype(np.float16 if "float16" in value.type else np.float32)
        for value in session.get_inputs()
    }
    output: Array = session.run(None, typed)[0]
    return output


def _in_double(unet: nn.Module, inputs: Mapping[str, Array]) -> Array:
    """The simulated UNet's prediction with FP64 kernels."""
    tensors = {name: torch.from_numpy(np.asarray(value)).double() for name, value in inputs.items()}
    try:
        with torch.no_grad():
            return _array(UnetForExport(unet.double())(**tensors)).astype(np.float32)
    finally:
        unet.float()


def _layer_agreement(model: ir.Model, name: str, layer: SimulatedLayer, activation: Array) -> float:
    with torch.no_grad():
        expected = _array(layer(torch.from_numpy(activation.astype(np.float32))))
    return sqnr_db(_run_layer(model, name, layer, activation), expected)


def _run_layer(model: ir.Model, name: str, layer: SimulatedLayer, activation: Array) -> Array:
    """One layer of the graph, with its Q/DQ, split and BOS constant, on a given input."""
    nodes = {node.name: node for node in model.graph}
    first = nodes[name if layer.split is None else f"{name}.0"]
    end = _end(nodes, name, layer)
    starts = [_start(first)] if layer.split is None else [_start(first), _start(nodes[f"{name}.1"])]
    if layer.bos_aware:
        starts = [next(value for value in model.graph.inputs if value.name == TEXT_INPUT)]
    part = ir.convenience.extract(model.graph, starts, [end])
    extracted = ir.Model(part, ir_version=model.ir_version)
    halves: Sequence[Array] = [activation]
    if layer.split is not None:
        halves = [activation[:, : layer.split], activation[:, layer.split :]]
    feeds = {str(value.name): half for value, half in zip(starts, halves, strict=True)}
    return _run(ir.to_proto(extracted).SerializeToString(), feeds)


def _start(node: ir.Node) -> ir.Value:
    """The floating-point value that a layer's quantized input came from."""
    value = node.inputs[0]
    while (
        value is not None
        and (producer := value.producer()) is not None
        and "quantize" in producer.op_type.lower()
    ):
        value = producer.inputs[0]
    assert value is not None
    return value


def _end(nodes: Mapping[str | None, ir.Node], name: str, layer: SimulatedLayer) -> ir.Value:
    if layer.split is not None:
        return nodes[f"{name}.sum"].outputs[0]
    if layer.bos_aware:
        return nodes[f"{name}.with_bos"].outputs[0]
    output = nodes[name].outputs[0]
    if nodes[name].op_type == "MatMul" and layer.original.bias is not None:
        return next(node for node in output.consumers() if node.op_type == "Add").outputs[0]
    return output


def _decode(pipeline: ReferencePipeline, latents: Tensor) -> Array:
    vae = pipeline.pipeline.vae
    with torch.no_grad():
        images = vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0]
    return _array((images / 2 + 0.5).clamp(0, 1))


def _psnr_db(output: Array, expected: Array) -> float:
    error = float(np.mean((output.astype(np.float64) - expected.astype(np.float64)) ** 2))
    return IDENTICAL_DB if error == 0 else float(-10 * np.log10(error))


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().cpu().numpy().copy()
    return array
