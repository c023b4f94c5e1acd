"""The stages of a run that make a component's packages; they import no torch before they run."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain
from pathlib import Path
from typing import Self

from pydantic.dataclasses import dataclass

from mixdq.compiler.cuda.kernels.tiles import TileTable, shipped_table
from mixdq.compiler.records import StageRecord
from mixdq.compiler.stages import Made
from mixdq.compiler.worker import Report
from mixdq.configs.bundle import Component, EngineRecord, TensorSpec
from mixdq.configs.documents import STRICT, parse
from mixdq.configs.errors import BundleError, TargetError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.target import Backend, Target
from mixdq.export.source import SourceModel

_FOLDER = "engines"
_LEAST_CAPABILITY = 80
_TUNE = "python -m mixdq.compiler.cuda.kernels.tune TILES.json"


@dataclass(frozen=True, slots=True, config=STRICT)
class PackageRecord:
    """A package of one resolution.

    Attributes:
        path: relative to the bundle's folder.
        builder: torch and its version.
        built_for: the name of the GPU.
        inputs: the tensors to feed, in the package's order.
        outputs: the tensors that come back, likewise.
    """

    path: str
    builder: str
    built_for: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @classmethod
    def of(cls, stage: StageRecord) -> Self:
        """What a `make_package` stage left."""
        return parse(cls, stage.value, "a stage's record", BundleError)


@dataclasses.dataclass(frozen=True, slots=True)
class PackageOrder:
    """What package to build.

    Attributes:
        component: the network.
        target: `cuda:sm90`.
        resolution: pixels; None for a package that serves all of the bundle's resolutions.
        example: pixels of the inputs that it is compiled with.
        batch: images at once.
        source: the model.
        root: the bundle's folder, which holds `layers.json`, `plan.yaml` and `ranges.json`.
        with_ranges: whether there is a `ranges.json`.
        tiles: a table of kernels' tiles that was tuned for this GPU; None for the one that ships for it.
    """

    component: Component
    target: Target
    resolution: int | None
    example: int
    batch: int
    source: SourceModel
    root: Path
    with_ranges: bool
    tiles: Path | None = None

    @property
    def path(self) -> str:
        """Where the package goes in the bundle: `engines/unet-512.cuda-sm90.pt2`."""
        size = "" if self.resolution is None else f"-{self.resolution}"
        return f"{_FOLDER}/{self.component}{size}.{self.target.slug}.pt2"

    @property
    def weights(self) -> str:
        """Where the constants of all of the component's packages go."""
        return f"{_FOLDER}/{self.component}.{self.target.slug}.weights"

    @property
    def tile_table(self) -> str:
        """Where the tiles that its kernels were compiled with go."""
        return f"{_FOLDER}/{self.component}.{self.target.slug}.tiles.json"


@plain(frozen=True, slots=True)
class PackagePiece:
    """What the bundle's entry of one package is put together from: the stages of it and of the constants."""

    component: Component
    target: Target
    resolution: int | None
    package: StageRecord
    constants: StageRecord

    def record(self) -> EngineRecord:
        """The bundle's entry."""
        package = PackageRecord.of(self.package)
        scratch: Mapping[str, int] = self.constants.value
        return EngineRecord(
            component=self.component,
            target=str(self.target),
            resolution=self.resolution,
            file=self.package.files[0],
            weights=self.constants.files[:1],
            builder=package.builder,
            built_for=package.built_for,
            inputs=package.inputs,
            outputs=package.outputs,
            scratch_bytes=scratch.get(package.path),
        )


def make_package(report: Report, order: PackageOrder) -> Made:
    """Compiles a package on the GPU; the value is a `PackageRecord`, and the package is the first file."""
    report("importing torch", 0, None)
    from mixdq.compiler.cuda.build import build_package

    return build_package(report, order, "cuda")


def make_constants(report: Report, order: PackageOrder, packages: Sequence[PackageRecord]) -> Made:
    """Writes what all packages of a component need, once, and measures what they take to compute.

    Args:
        report: told what is done.
        order: that of any of them.
        packages: all of them.

    Returns:
        The constants are the first file; the value is bytes of the GPU's memory by the packages' paths.
    """
    report("importing torch", 0, None)
    from mixdq.compiler.cuda.build import gather_constants

    return gather_constants(report, order, packages, "cuda")


def tiles_for(path: Path | None, gpu: str) -> TileTable:
    """The tiles that kernels are compiled with on a GPU; an empty table where they are chosen by rule.

    Args:
        path: a table of a user's; None for the one that ships for the GPU.
        gpu: its name.

    Raises:
        TargetError: no table there, or one of another GPU.
    """
    if path is None:
        return shipped_table(gpu)
    table = TileTable.read(path)
    if table.gpu != gpu:
        raise TargetError(
            f"{path} holds tiles that were tuned for {table.gpu}, found {gpu}; tune here with `{_TUNE}`, or "
            "leave --tiles out"
        )
    return table


def kernels_gpu(targets: Sequence[Target]) -> str | None:
    """The name of the GPU that one of the targets compiles kernels for here; None without either."""
    gpu = find_gpu() if any(target.backend is Backend.CUDA for target in targets) else None
    return None if gpu is None else gpu.name


def tiles_in_words(path: Path | None, gpu: str) -> str:
    """Where the kernels' tiles come from, and what to do where nobody tuned them; see `tiles_for`."""
    table = tiles_for(path, gpu)
    if path is not None:
        return f"{len(table.tiles)} tuned for {gpu}, of {path}"
    if table.tiles:
        return f"{len(table.tiles)} tuned for {gpu}, which ship"
    return (
        f"by rule, because none were tuned for {gpu}; `{_TUNE}` tunes them once, and --tiles TILES.json "
        "takes them"
    )


def require_compiler(target: Target) -> None:
    """Refuses a target that can't be compiled on this machine; imports nothing.

    Raises:
        TargetError: torch or Triton is missing, there is no GPU, or it is too old or another one.
    """
    if importlib.util.find_spec("torch") is None:
        raise TargetError(
            f"target {target} needs torch; install it with `pip install 'mixdq[compile]'`, in its build for "
            "CUDA"
        )
    gpu = find_gpu()
    if gpu is None:
        raise TargetError(
            f"target {target} compiles on the GPU that the engine will run on, and this machine has none "
            "that its driver shows; run it on a machine with an NVIDIA GPU, or choose rtx:sm89 or cpu"
        )
    if gpu.sm < _LEAST_CAPABILITY:
        raise TargetError(
            f"target {target} needs a GPU of compute capability 8.0 or more, found {gpu.name} of "
            f"{gpu.sm // 10}.{gpu.sm % 10}; choose rtx:sm{gpu.sm} or cpu"
        )
    if gpu.sm != target.sm:
        raise TargetError(
            f"target {target} compiles on the GPU that the engine will run on, found {gpu.name}; use "
            f"--target cuda:sm{gpu.sm} here"
        )
    if importlib.util.find_spec("triton") is None:
        raise TargetError(
            f"target {target} needs Triton, which torch's build for CUDA brings along; install that build"
        )
