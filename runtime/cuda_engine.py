"""Engines of the CUDA back end: packages that torch compiled ahead of time, replayed as CUDA graphs.

torch is needed to run them, and imported when one is opened: no other part of the runtime needs it. Nothing
is compiled here, and no kernel's Python source is needed: a package holds machine code.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from mixdq.configs.bundle import EngineRecord, FileRecord
from mixdq.configs.errors import BundleError, MachineError, TargetError
from mixdq.configs.gpu import Gpu, find_gpu
from mixdq.configs.target import Target
from mixdq.runtime.engine import Array
from mixdq.runtime.mapped_constants import map_constants

_LEAST_CAPABILITY = 80
_MIB = 1 << 20
_WARM_UPS = 2  # libraries load and choose kernels then, which can't be recorded


class CudaOpener:
    """Opens a target's packages, all on one stream of one GPU; see `Opener`."""

    def __init__(self, target: Target) -> None:
        """Loads torch and takes the GPU.

        Raises:
            TargetError: torch or the GPU is missing, or is the wrong one.
        """
        self._gpu = require_cuda(target, find_gpu())
        self._torch = load_torch(target)
        self._constants: dict[tuple[Path, ...], dict[str, Any]] = {}
        self._resident: set[tuple[FileRecord, ...]] = set()
        self._lock = Lock()
        self._pool: Any = None

    def check(self, record: EngineRecord) -> None:
        """Refuses a package for another GPU or of another torch, and one that the GPU has no room for."""
        check_package(record, self._gpu, self._torch.__version__)
        if record.weights not in self._resident:
            free, _ = self._torch.cuda.mem_get_info()
            check_room(record, free)

    def open(self, record: EngineRecord, path: Path, weights: tuple[Path, ...]) -> CudaNetwork:
        """Loads a package; its constants once for all packages that name the same files."""
        torch = self._torch
        with _telling(torch, f"loading {path.name}"):
            if weights not in self._constants:
                self._constants[weights] = map_constants(torch, weights, "cuda")
                self._resident.add(record.weights)
            return self.network(path, self._constants[weights])

    def network(self, path: Path, constants: Mapping[str, Any]) -> CudaNetwork:
        """A package on constants that are on the GPU already, and stay as long as it is used.

        Raises:
            BundleError: torch can't load it, or constants are missing.
        """
        torch = self._torch
        package = load_package(torch, path, constants)
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        return CudaNetwork(torch, package, self._pool, self._lock)

    def close(self) -> None:
        """Gives the constants back."""
        self._constants.clear()
        self._resident.clear()
        self._pool = None
        self._torch.cuda.empty_cache()


class CudaNetwork:
    """One package, ready on the GPU."""

    def __init__(self, torch: Any, package: Any, pool: Any, lock: Lock) -> None:
        """Keeps it.

        Args:
            torch: the module.
            package: with its constants.
            pool: memory of all networks' graphs, which never run at the same time.
            lock: held while one runs.
        """
        self._torch, self._package, self._pool, self._lock = torch, package, pool, lock
        self._engine: CudaEngine | None = None

    def engine(self, record: EngineRecord, profile: int) -> CudaEngine:
        """The network at its one resolution."""
        if self._engine is None:
            self._engine = CudaEngine(self._torch, self._package, record, self._pool, self._lock)
        return self._engine

    def close(self) -> None:
        """Gives the package and its graph back."""
        with self._lock:
            if self._engine is not None:
                self._engine.forget()
            self._engine = self._package = None


class CudaEngine:
    """A package whose inputs and outputs have fixed addresses; its first run records a CUDA graph.

    Attributes:
        record: the engine's entry in the bundle.
        outputs: torch tensors on the GPU that each replay writes, once one has run.
    """

    def __init__(self, torch: Any, package: Any, record: EngineRecord, pool: Any, lock: Lock) -> None:
        """Allocates the inputs; the outputs are where the graph leaves them.

        Raises:
            MachineError: the GPU's memory ran out.
        """
        self._torch, self._package, self._pool, self._lock = torch, package, pool, lock
        self.record = record
        with _telling(torch, f"allocating the inputs of {record.component}"):
            self._inputs = {
                spec.name: torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype), device="cuda")
                for spec in record.inputs
            }
        self._graph: Any = None
        self.outputs: list[Any] = []

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Executes the network once; see `Engine.run`."""
        torch = self._torch
        with self._lock, torch.no_grad(), _telling(torch, f"running {self.record.component}"):
            for name, tensor in self._inputs.items():
                tensor.copy_(torch.from_numpy(inputs[name]))
            self.replay()
            names = (spec.name for spec in self.record.outputs)
            return {name: out.cpu().numpy() for name, out in zip(names, self.outputs, strict=True)}

    def replay(self) -> None:
        """Computes once on the inputs as they are, and does not wait; records the graph if there is none."""
        if self._graph is None:
            self._record()
        self._graph.replay()

    def forget(self) -> None:
        """Gives the graph and the tensors back."""
        self._graph, self.outputs, self._inputs, self._package = None, [], {}, None

    def _record(self) -> None:
        torch = self._torch
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                self._compute()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            self.outputs = self._compute()
        self._graph = graph

    def _compute(self) -> list[Any]:
        # The list is emptied by the call, as its name says.
        outputs: list[Any] = self._package.loader.boxed_run(list(self._inputs.values()))
        return outputs


def require_cuda(target: Target, gpu: Gpu | None) -> Gpu:
    """The GPU that a target's packages run on.

    Raises:
        TargetError: there is none, it is too old, or of another compute capability.
    """
    if gpu is None:
        raise TargetError(
            f"{target} engines run on an NVIDIA GPU, and this machine has none that its driver shows; run "
            "them on a machine that has one, or load a bundle that was built with --target cpu"
        )
    if gpu.sm < _LEAST_CAPABILITY:
        raise TargetError(
            f"{target} engines need a GPU of compute capability 8.0 or more, found {gpu.name} of "
            f"{gpu.sm // 10}.{gpu.sm % 10}; use --target rtx:sm{gpu.sm} or cpu"
        )
    if target.sm != gpu.sm:
        raise TargetError(
            f"{target} engines hold machine code for that compute capability alone, found {gpu.name} (sm"
            f"{gpu.sm}); build on this machine with `mixdq-compile run MODEL --target cuda:sm{gpu.sm}`"
        )
    return gpu


def load_torch(target: Target) -> Any:
    """torch, with a GPU that it can use.

    Raises:
        TargetError: it is not installed, or has no CUDA.
    """
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        raise TargetError(
            f"{target} engines are run by torch, which does not load here ({error}); install torch's build "
            "for CUDA, in the version that built the bundle"
        ) from error
    if not torch.cuda.is_available():
        raise TargetError(
            f"torch {torch.__version__} can't use the GPU here; install its build for CUDA, in the version "
            "that built the bundle"
        )
    return torch


def check_package(record: EngineRecord, gpu: Gpu, version: str) -> None:
    """Refuses a package that was tuned for another GPU or built by another torch.

    Raises:
        TargetError: another GPU.
        BundleError: another version.
    """
    if record.built_for != gpu.name:
        raise TargetError(
            f"{record.file.path} was compiled and tuned for {record.built_for}, found {gpu.name}; compile it "
            "for this GPU with `mixdq-compile run` here, which tunes anew or, without a table for it, takes "
            "the kernels' defaults"
        )
    if record.builder != f"torch {version}":
        raise BundleError(
            f"{record.file.path} was built by {record.builder}, and such a package is read by that version "
            f"alone; found torch {version}; install the version that built it, or build the bundle again here"
        )


def check_room(record: EngineRecord, free: int) -> None:
    """Refuses a package whose constants alone are more than the GPU has free.

    Args:
        record: its entry in the bundle.
        free: bytes.

    Raises:
        MachineError: says both sizes.
    """
    needed = sum(file.bytes for file in record.weights)
    if needed > free:
        raise MachineError(
            f"the weights of {record.component} need {needed // _MIB} MiB of the GPU's memory, beside what "
            f"computing takes, and {free // _MIB} MiB are free; end what else runs on the GPU, or build a "
            "bundle of fewer bits"
        )


def load_package(torch: Any, path: Path, constants: Mapping[str, Any]) -> Any:
    """A package on its constants: the tensors themselves, not copies, so that all packages use the same.

    Raises:
        BundleError: torch can't load it, or constants are missing.
    """
    # torch's own function for it would first ask the C++ compiler what this machine's processor can do.
    packages = importlib.import_module("torch.export.pt2_archive._package")
    try:
        loader = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", True, 1, -1)
    except RuntimeError as error:
        raise BundleError(
            f"torch {torch.__version__} could not load {path}: {str(error)[:300]}; build the bundle again "
            "here"
        ) from error
    package = packages.AOTICompiledModel(loader)
    names = package.get_constant_fqns()
    if missing := sorted(set(names) - set(constants)):
        raise BundleError(
            f"{path.name} needs {missing[0]} (of {len(missing)} tensors), which the bundle's constants don't "
            "hold; build the bundle again"
        )
    package.load_constants(
        {name: constants[name] for name in names}, check_full_update=True, user_managed=True
    )
    return package


@contextmanager
def _telling(torch: Any, what: str) -> Any:
    """Says of memory that ran out what it ran out for."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise MachineError(
            f"the GPU's memory ran out while {what}: {str(error)[:200]}; end what else runs on the GPU, or "
            "choose a lower resolution, a smaller batch or fewer bits"
        ) from error
