"""A component's packages for all resolutions, and the one file of their constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mixdq.compiler.cuda.constants import write_constants
from mixdq.compiler.cuda.kernels.tiles import TileTable, tiles_of
from mixdq.compiler.cuda.networks import Network, NetworkOrder, make_network
from mixdq.compiler.cuda.package import compile_package
from mixdq.compiler.cuda.scratch import measure_scratch
from mixdq.compiler.cuda.stage import PackageOrder, PackageRecord, tiles_for
from mixdq.compiler.stages import Made
from mixdq.compiler.worker import Report, run_in_child
from mixdq.configs.bundle import TensorSpec
from mixdq.configs.documents import to_plain
from mixdq.configs.errors import GraphError, TargetError
from mixdq.configs.files import write_text
from mixdq.configs.gpu import find_gpu
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable


def build_packages(report: Report, order: PackageOrder, device: str) -> Made:
    """Compiles one component; the value is a list of `PackageRecord`.

    Args:
        report: told which package is compiled.
        order: what to build.
        device: torch's name of it: `cuda`; `cpu` for tests, whose packages no runtime of ours opens.

    Raises:
        TargetError: torch can't use a GPU here.
        GraphError: torch can't compile it.
    """
    gpu = find_gpu()
    if device == "cuda" and (gpu is None or not torch.cuda.is_available()):
        raise TargetError(
            f"torch {torch.__version__} can't use a GPU here, and {order.target} compiles on the one that it "
            "runs on; install torch's build for CUDA"
        )
    name = "cpu" if gpu is None else gpu.name
    tiles = tiles_for(order.tiles, name)
    records = _compile_all(report, order, device, tiles, name)
    root, weights = order.root, order.root / order.weights
    if device == "cuda":
        torch.cuda.empty_cache()  # the packages run in another process
        packages = [(root / record.path, record.inputs) for record in records]
        scratch = run_in_child(measure_scratch, packages, weights, report=report).value
        records = [replace(record, scratch_bytes=size) for record, size in zip(records, scratch, strict=True)]
    write_text(root / order.tile_table, tiles.to_json())
    files = (weights, root / order.tile_table, *(root / record.path for record in records))
    return Made(files, [to_plain(record) for record in records])


def _compile_all(
    report: Report, order: PackageOrder, device: str, tiles: TileTable, gpu: str
) -> list[PackageRecord]:
    """Compiles the packages and writes their constants; lets go of what it can of the GPU's memory."""
    report("reading weights", 0, None)
    root = order.root
    network = make_network(
        order.component,
        NetworkOrder(
            source=order.source,
            batch=order.batch,
            device=device,
            table=LayerTable.read(root / "layers.json"),
            plan=PrecisionPlan.read(root / "plan.yaml"),
            ranges=RangeTable.read(root / "ranges.json") if order.with_ranges else None,
        ),
    )
    constants: dict[str, Tensor] = {}
    records = []
    with tiles_of(tiles):
        for index, resolution in enumerate(order.sizes):
            report("compiling", index, len(order.sizes))
            records.append(_compile(network, order, resolution, constants, gpu))
    report("writing constants", 0, None)
    write_constants(root / order.weights, constants)
    return records


def _compile(
    network: Network,
    order: PackageOrder,
    resolution: int | None,
    constants: dict[str, Tensor],
    gpu: str,
) -> PackageRecord:
    """Compiles one package; adds to the constants."""
    path = order.path(resolution)
    inputs = network.inputs(order.resolutions[0] if resolution is None else resolution)
    package = compile_package(network.module, tuple(inputs.values()), order.root / path)
    _add(constants, package.constants, path)
    return PackageRecord(
        resolution=resolution,
        path=path,
        weights=order.weights,
        builder=f"torch {torch.__version__}",
        built_for=gpu,
        inputs=_specs(tuple(inputs), tuple(inputs.values())),
        outputs=_specs(network.outputs, package.outputs),
    )


def _add(constants: dict[str, Tensor], more: Mapping[str, Tensor], path: str) -> None:
    for name, tensor in more.items():
        known = constants.setdefault(name, tensor)
        if known is not tensor and not torch.equal(known, tensor):
            raise GraphError(
                f"{path} has a constant {name} that is another at another resolution, and packages share "
                "their constants"
            )


def _specs(names: Sequence[str], tensors: Sequence[Tensor]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in zip(names, tensors, strict=True)
    )
