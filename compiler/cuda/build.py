"""A component's packages, each by itself, and the one file of the constants of all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixdq.compiler.cuda.constants import write_constants
from mixdq.compiler.cuda.kernels.tiles import tiles_of
from mixdq.compiler.cuda.networks import Network, NetworkOrder, make_network
from mixdq.compiler.cuda.package import compile_package, constants_of
from mixdq.compiler.cuda.scratch import measure_scratch
from mixdq.compiler.cuda.stage import PackageOrder, PackageRecord, tiles_for
from mixdq.compiler.stages import Made
from mixdq.compiler.worker import Report, run_in_child
from mixdq.configs.bundle import TensorSpec
from mixdq.configs.documents import to_plain
from mixdq.configs.errors import TargetError
from mixdq.configs.files import write_text
from mixdq.configs.gpu import find_gpu
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable


def build_package(report: Report, order: PackageOrder, device: str) -> Made:
    """Compiles one package; see `make_package`.

    Args:
        report: told what is done.
        order: what to build.
        device: torch's name of it: `cuda`; `cpu` for tests, whose packages no runtime of ours opens.

    Raises:
        TargetError: torch can't use a GPU here.
        GraphError: torch can't compile it.
    """
    gpu = _gpu(order, device)
    report("reading weights", 0, None)
    network = _network(order, device)
    inputs = network.inputs(order.example)
    report("compiling", 0, None)
    path = order.root / order.path
    with tiles_of(tiles_for(order.tiles, gpu)):
        outputs = compile_package(network.module, tuple(inputs.values()), path)
    record = PackageRecord(
        path=order.path,
        builder=f"torch {torch.__version__}",
        built_for=gpu,
        inputs=_specs(tuple(inputs), tuple(inputs.values())),
        outputs=_specs(network.outputs, outputs),
    )
    return Made((path,), to_plain(record))


def gather_constants(
    report: Report, order: PackageOrder, packages: Sequence[PackageRecord], device: str
) -> Made:
    """Writes the constants of a component's packages; see `make_constants`.

    They are the network's own tensors, the same in every process that makes it.

    Raises:
        TargetError: torch can't use a GPU here.
        GraphError: a package needs a tensor that the network does not hold.
    """
    gpu = _gpu(order, device)
    report("reading weights", 0, None)
    root, weights = order.root, order.root / order.weights
    network = _network(order, device)
    constants: dict[str, Tensor] = {}
    for package in packages:
        constants |= constants_of(network.module, root / package.path, package.path)
    report("writing constants", 0, None)
    write_constants(weights, dict(sorted(constants.items())))
    write_text(root / order.tile_table, tiles_for(order.tiles, gpu).to_json())
    scratch: dict[str, int] = {}
    if device == "cuda":
        del network, constants
        torch.cuda.empty_cache()  # packages run in another process
        runs = [(root / package.path, package.inputs) for package in packages]
        sizes = run_in_child(measure_scratch, runs, weights, report=report).value
        scratch = {package.path: size for package, size in zip(packages, sizes, strict=True)}
    return Made((weights, root / order.tile_table), scratch)


def _gpu(order: PackageOrder, device: str) -> str:
    gpu = find_gpu()
    if device == "cuda" and (gpu is None or not torch.cuda.is_available()):
        raise TargetError(
            f"torch {torch.__version__} can't use a GPU here, and {order.target} compiles on the one that it "
            "runs on; install torch's build for CUDA"
        )
    return "cpu" if gpu is None else gpu.name


def _network(order: PackageOrder, device: str) -> Network:
    root = order.root
    return make_network(
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


def _specs(names: Sequence[str], tensors: Sequence[Tensor]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in zip(names, tensors, strict=True)
    )
