"""A network's run on a GPU: copy in, compute, copy out; recorded once, then replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Self

import numpy as np

from mixdq.configs.bundle import EngineRecord, TensorSpec
from mixdq.configs.errors import MachineError
from mixdq.runtime.cuda_memory import Buffer, PinnedArray, Scratch
from mixdq.runtime.cuda_stream import Graph, Stream
from mixdq.runtime.engine import Array


class Workspace:
    """What all networks of a pipeline share on a GPU: a stream and its scratch memory; a context manager."""

    def __init__(self) -> None:
        """Makes the stream.

        Raises:
            TargetError: cuda-python is missing.
            MachineError: no GPU that CUDA can use.
        """
        self.stream = Stream()
        self.scratch = Scratch(self.stream)

    def close(self) -> None:
        """Gives everything back; networks that used it must be closed before."""
        with self.stream.lock:
            self.scratch.close()
            self.stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class DeviceProgram:
    """One network at one resolution, its tensors at fixed addresses; a context manager.

    The first run computes once as a warm-up (libraries load and choose kernels then, which can't be
    recorded), records a CUDA graph, and replays it; later runs only replay. Should the scratch memory have
    moved because another network needed more, the program is recorded again.
    """

    def __init__(
        self,
        workspace: Workspace,
        record: EngineRecord,
        *,
        scratch_bytes: int,
        bind: Callable[[int, int], None],
        enqueue: Callable[[int], None],
        capturable: Callable[[int], bool],
    ) -> None:
        """Allocates the tensors, on the host and on the GPU.

        Args:
            workspace: shared with other programs.
            record: names, types and shapes of the tensors; no size is symbolic.
            scratch_bytes: working memory of a run.
            bind: told the scratch memory's address and size, before the first run and when they change.
            enqueue: gives the network's work to the stream of that handle.
            capturable: whether that work can be recorded in a graph; asked after the warm-up.

        Raises:
            MachineError: out of memory.
        """
        self._workspace, self._scratch_bytes = workspace, scratch_bytes
        self._bind, self._enqueue, self._capturable = bind, enqueue, capturable
        self._closed = False
        self._bound: int | None = None
        self._graph: Graph | None = None
        with ExitStack() as opened:
            self._inputs = {spec.name: opened.enter_context(_Tensor(spec)) for spec in record.inputs}
            self._outputs = {spec.name: opened.enter_context(_Tensor(spec)) for spec in record.outputs}
            self._memory = opened.pop_all()

    @property
    def addresses(self) -> dict[str, int]:
        """Where each tensor is on the GPU."""
        return {name: tensor.device.address for name, tensor in (self._inputs | self._outputs).items()}

    @property
    def recorded(self) -> bool:
        """Whether runs replay a graph."""
        return self._graph is not None

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Executes the network once; see `Engine.run`."""
        stream = self._workspace.stream
        with stream.lock:
            for name, tensor in self._inputs.items():
                tensor.fill(inputs[name])
            self._prepare()
            if self._graph is None:
                self._give()
            else:
                self._graph.launch()
            stream.synchronize()
            return {name: tensor.host.array.copy() for name, tensor in self._outputs.items()}

    def close(self) -> None:
        """Waits for the stream's work and gives the memory back; a second call does nothing."""
        with self._workspace.stream.lock:
            if self._closed:
                return
            self._closed = True
            with suppress(MachineError):  # the run that failed has said so
                self._workspace.stream.synchronize()
            self._forget()
            self._memory.close()

    def _prepare(self) -> None:
        memory = self._workspace.scratch.reserve(self._scratch_bytes)
        if self._bound == memory.address:
            return
        self._forget()
        self._bind(memory.address, memory.size)
        stream = self._workspace.stream
        self._give()
        stream.synchronize()
        if self._capturable(stream.handle):
            self._graph = stream.capture(self._give)
        self._bound = memory.address

    def _give(self) -> None:
        stream = self._workspace.stream
        for tensor in self._inputs.values():
            stream.copy_to_device(tensor.device.address, tensor.host.address, tensor.size)
        self._enqueue(stream.handle)
        for tensor in self._outputs.values():
            stream.copy_to_host(tensor.host.address, tensor.device.address, tensor.size)

    def _forget(self) -> None:
        if self._graph is not None:
            self._graph.close()
        self._graph, self._bound = None, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Tensor:
    """An input or output: on the GPU, and its copy on the host."""

    def __init__(self, spec: TensorSpec) -> None:
        with ExitStack() as opened:
            self.host = opened.enter_context(PinnedArray(spec))
            self.size = self.host.array.nbytes
            self.device = opened.enter_context(Buffer(self.size))
            self._memory = opened.pop_all()

    def fill(self, value: Array) -> None:
        assert value.shape == self.host.array.shape, (value.shape, self.host.array.shape)
        np.copyto(self.host.array, value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.close()
