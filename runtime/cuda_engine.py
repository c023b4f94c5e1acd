"""Engines of the CUDA back end: packages that torch compiled ahead of time, replayed as CUDA graphs.

torch is needed to run them, and imported when one is opened: no other part of the runtime needs it. Nothing
is compiled here, and no kernel's Python source is needed: a package holds machine code.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from mixdq.configs.bundle import EngineRecord
from mixdq.configs.errors import BundleError, MachineError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.target import Target
from mixdq.runtime.cuda_checks import (
    TunedElsewhereWarning,
    check_all,
    check_package,
    check_room,
    load_torch,
    require_cuda,
    tuned_elsewhere,
)
from mixdq.runtime.engine import Array
from mixdq.runtime.mapped_constants import map_constants

_WARM_UPS = 2  # libraries load and choose kernels then, which can't be recorded


class CudaOpener:
    """Opens a target's packages, all on one stream of one GPU; see `Opener`."""

    def __init__(self, target: Target, records: Sequence[EngineRecord] = ()) -> None:
        """Loads torch and takes the GPU.

        Args:
            target: whose packages.
            records: those that it will be asked for; none if they are not known.

        Raises:
            TargetError: torch or the GPU is missing, or is the wrong one.
            MachineError: the GPU has no room for all of them, whatever the resolution.
        """
        self._gpu = require_cuda(target, find_gpu())
        self._torch = load_torch(target)
        if records:
            check_all(records, _free_bytes(self._torch))
        self._constants: dict[tuple[Path, ...], dict[str, Any]] = {}
        self._said: set[str] = set()
        self._lock = Lock()
        self._pool: Any = None

    def check(self, record: EngineRecord) -> None:
        """Refuses a package of another torch, and warns of one that was tuned for another GPU."""
        check_package(record, self._torch.__version__)
        if (note := tuned_elsewhere(record, self._gpu)) is not None and note not in self._said:
            self._said.add(note)
            warnings.warn(note, TunedElsewhereWarning, stacklevel=2)

    def open(self, record: EngineRecord, path: Path, weights: tuple[Path, ...]) -> CudaNetwork:
        """Loads a package; its constants once for all packages that name the same files.

        Raises:
            MachineError: the GPU has too little memory for it; said before anything is loaded.
        """
        torch = self._torch
        constants = 0 if weights in self._constants else sum(file.bytes for file in record.weights)
        # While another thread records a graph, nothing may be allocated.
        with self._lock, _telling(torch, f"loading {path.name}"):
            check_room(record.component, constants, record.scratch_bytes or 0, _free_bytes(torch))
            if weights not in self._constants:
                self._constants[weights] = map_constants(torch, weights, "cuda")
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
        with self._lock:
            self._constants.clear()
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
        with self._lock:
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
                spec.name: _Tensor(
                    torch, torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype), device="cuda")
                )
                for spec in record.inputs
            }
        self._graph: Any = None
        self._outputs: list[_Tensor] = []

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Executes the network once; see `Engine.run`."""
        torch = self._torch
        with self._lock, torch.no_grad(), _telling(torch, f"running {self.record.component}"):
            for name, tensor in self._inputs.items():
                tensor.fill(inputs[name])
            self.replay()
            for tensor in self._outputs:
                tensor.fetch()
            torch.cuda.current_stream().synchronize()
            names = (spec.name for spec in self.record.outputs)
            return {name: tensor.array() for name, tensor in zip(names, self._outputs, strict=True)}

    @property
    def outputs(self) -> list[Any]:
        """What each replay writes: tensors of torch on the GPU; none before the first."""
        return [tensor.device for tensor in self._outputs]

    def replay(self) -> None:
        """Computes once on the inputs as they are, and does not wait; records the graph if there is none."""
        if self._graph is None:
            self._record()
        self._graph.replay()

    def forget(self) -> None:
        """Gives the graph and the tensors back."""
        self._graph, self._outputs, self._inputs, self._package = None, [], {}, None

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
            outputs = self._compute()
        self._outputs = [_Tensor(torch, output) for output in outputs]
        self._graph = graph

    def _compute(self) -> list[Any]:
        # The list is emptied by the call, as its name says.
        inputs = [tensor.device for tensor in self._inputs.values()]
        outputs: list[Any] = self._package.loader.boxed_run(inputs)
        return outputs


class _Tensor:
    """A tensor of the GPU and its copy on the host, in pinned pages: the GPU copies by itself, in order.

    Attributes:
        device: the one of the GPU.
    """

    def __init__(self, torch: Any, device: Any) -> None:
        self.device = device
        self._host = _pinned(torch, device)
        # torch converts from FP16 with the processor's vectors, NumPy value by value.
        small = device.is_floating_point() and device.dtype.itemsize < torch.float32.itemsize
        self._type = torch.float32 if small else device.dtype

    def fill(self, value: Array) -> None:
        """Begins to copy a value to the GPU, of a type that NumPy has."""
        np.copyto(self._host.numpy(), value)
        self.device.copy_(self._host, non_blocking=True)

    def fetch(self) -> None:
        """Begins to copy the value from the GPU."""
        self._host.copy_(self.device, non_blocking=True)

    def array(self) -> Array:
        """What was fetched, if the stream has come that far: the caller's own, FP32 for a smaller type."""
        given: Array = self._host.to(self._type, copy=True).numpy()
        return given


def _pinned(torch: Any, device: Any) -> Any:
    """Pages of the host for a copy of a tensor, which the GPU reads and writes by itself."""
    try:
        return torch.empty_like(device, device="cpu", pin_memory=True)
    except RuntimeError as error:
        raise MachineError(
            f"the host could not pin {device.nbytes / 2**20:.1f} MiB of its memory for a tensor of the GPU "
            f"({str(error)[:200]}); free some of it, or raise the limit on locked memory (`ulimit -l`)"
        ) from error


def _free_bytes(torch: Any) -> int:
    """What the GPU has free, and torch holds of it without using it."""
    free, _ = torch.cuda.mem_get_info()
    return int(free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())


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
