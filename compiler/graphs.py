"""Skeletons to the graphs that a builder reads: one a resolution, or one for all, with one weights file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from mixdq.configs.bundle import DOWNSAMPLING_METADATA, SYMBOLIC, Component, TensorSpec
from mixdq.configs.errors import GraphError
from mixdq.configs.files import writing
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect, Layout
from mixdq.export.skeleton import attach_weights
from mixdq.export.weights.reader import WeightReader
from mixdq.passes.pipeline import apply, component_pipeline, resolution_pipeline, unet_pipeline

# Shape inference of ONNX Runtime and TensorRT reads small constants, which must therefore be in the graph.
_INLINE_BYTES = 1024
_ALIGNMENT = 4096

_SIZED_INPUTS = {Component.UNET: "sample", Component.VAE_DECODER: "latents"}


@dataclass(frozen=True, slots=True)
class GraphFiles:
    """A graph as a builder reads it.

    Attributes:
        graph: the `.onnx` file.
        weights: the files with its constants, in the same folder; shared with other resolutions.
        inputs: the tensors to feed.
        outputs: the tensors that come back.
    """

    graph: Path
    weights: tuple[Path, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def write_graphs(
    *,
    skeleton: Path,
    reader: WeightReader,
    component: Component,
    out: Path,
    dialect: Dialect,
    layout: Layout,
    resolutions: Sequence[int],
    batch: int,
    table: LayerTable,
    plan: PrecisionPlan,
    ranges: RangeTable | None,
    report: Callable[[str, int, int | None], None],
) -> Mapping[int | None, GraphFiles]:
    """Runs the passes on an exported component and writes its graphs, one weight in memory at a time.

    Quantized weights are the exception: they are made by the passes and held until they are written.

    Args:
        skeleton: the graph that `export_component` wrote.
        reader: its weights.
        component: which network; only the UNet is quantized.
        out: folder for the graphs and their weights.
        dialect: the form of graph wanted.
        layout: one graph a resolution, all reading one `<component>.weights`, or one with symbolic sizes.
        resolutions: pixels.
        batch: images at once; what the component was exported with.
        table: the UNet's layers.
        plan: one precision a layer.
        ranges: calibrated ranges; may be None if the plan quantizes nothing.
        report: told how far it is.

    Returns:
        The files by resolution; by None for a graph that serves every resolution.

    Raises:
        GraphError: the exported graph is unreadable or not of the form that the passes need.
        ModelError: a weight is missing, wrongly shaped or not finite.
        StorageError: the disk is full.
    """
    report("reading", 0, None)
    model = _load(skeleton)
    attach_weights(model, reader)
    _check_batch(model, component, batch)
    report("rewriting", 0, None)
    is_unet = component is Component.UNET
    apply(unet_pipeline(plan, table, ranges, dialect) if is_unet else component_pipeline(dialect), model)
    weights = out / f"{component}.weights"
    _store_weights(model, weights, report)
    if component not in _SIZED_INPUTS or layout is Layout.DYNAMIC:
        return {None: _write_graph(model, out / f"{component}.onnx", weights)}
    files: dict[int | None, GraphFiles] = {}
    for resolution in resolutions:
        sized = model.clone()
        apply(resolution_pipeline(_sizes(sized, component, resolution)), sized)
        files[resolution] = _write_graph(sized, out / f"{component}-{resolution}.onnx", weights)
    return files


def _load(path: Path) -> ir.Model:
    try:
        return ir.load(path)
    except FileNotFoundError as error:
        raise GraphError(f"{path} is missing; run `mixdq-compile export` again") from error
    except Exception as error:
        # protobuf's decoder raises types of its own.
        raise GraphError(f"{path} is no readable ONNX graph; run `mixdq-compile export` again") from error


def _check_batch(model: ir.Model, component: Component, batch: int) -> None:
    shape = model.graph.inputs[0].shape
    if shape is None or shape[0] != batch:
        raise GraphError(f"{component} was exported for another batch than {batch}; export it again")


def _sizes(model: ir.Model, component: Component, resolution: int) -> dict[str, tuple[int, ...]]:
    name, side = _SIZED_INPUTS[component], resolution // int(model.metadata_props[DOWNSAMPLING_METADATA])
    shape = next(value.shape for value in model.graph.inputs if value.name == name)
    assert shape is not None
    batch, channels = shape[0], shape[1]
    assert isinstance(batch, int)
    assert isinstance(channels, int)
    return {name: (batch, channels, side, side)}


def _store_weights(model: ir.Model, path: Path, report: Callable[[str, int, int | None], None]) -> None:
    """Writes the large constants to one file, one in memory at a time, and makes the model refer to it."""
    offset = 0
    with writing(path) as temporary, temporary.open("wb") as file:
        constants = model.graph.initializers.values()
        for done, value in enumerate(constants):
            tensor = value.const_value
            if tensor is None or tensor.nbytes <= _INLINE_BYTES:
                continue
            report("writing weights", done, len(constants))
            offset += -offset % _ALIGNMENT
            file.seek(offset)
            file.write(tensor.tobytes())
            value.const_value = ir.ExternalTensor(
                location=path.name,
                offset=offset,
                length=tensor.nbytes,
                dtype=tensor.dtype,
                shape=ir.Shape(list(tensor.shape.numpy())),
                name=tensor.name or "",
                base_dir=path.parent,
            )
            offset += tensor.nbytes


def _write_graph(model: ir.Model, path: Path, weights: Path) -> GraphFiles:
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor) and tensor.nbytes <= _INLINE_BYTES:
            value.const_value = ir.tensor(tensor.numpy(), name=tensor.name)
    with writing(path) as temporary:
        ir.save(model, temporary)
    specs = [tuple(_spec(value) for value in values) for values in (model.graph.inputs, model.graph.outputs)]
    return GraphFiles(path, (weights,), specs[0], specs[1])


def _spec(value: ir.Value) -> TensorSpec:
    assert value.name is not None
    assert value.shape is not None
    assert value.dtype is not None
    sizes = tuple(size if isinstance(size, int) else SYMBOLIC for size in value.shape)
    return TensorSpec(value.name, str(value.dtype.numpy()), sizes)
