"""CUDA streams and graphs: work in order on the GPU, and work recorded once to be replayed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import RLock
from typing import Self
from weakref import finalize

from mixdq.configs.errors import MachineError
from mixdq.runtime.cuda_api import checked, cuda_runtime


class Stream:
    """Work that the GPU does in the order in which it was given; a context manager.

    Attributes:
        handle: the stream's address, as libraries take it.
        lock: to be held from the first piece of work of a run to the copy of its results: several threads
            share one stream, and the memory that its work uses.
    """

    def __init__(self) -> None:
        """Makes a stream on the first GPU that CUDA shows.

        Raises:
            TargetError: cuda-python is missing.
            MachineError: no GPU that CUDA can use.
        """
        cuda = cuda_runtime()
        self.lock = RLock()
        self._stream = checked(cuda.cudaStreamCreateWithFlags(cuda.cudaStreamNonBlocking), "make a stream")
        self.handle = int(self._stream)
        self._free = finalize(self, cuda.cudaStreamDestroy, self._stream)

    def synchronize(self) -> None:
        """Waits until all work is done.

        Raises:
            MachineError: some of it failed.
        """
        checked(cuda_runtime().cudaStreamSynchronize(self._stream), "finish its work")

    def copy_to_device(self, device: int, host: int, size: int) -> None:
        """Enqueues a copy of `size` bytes from pinned memory to the GPU, by their addresses."""
        kind = cuda_runtime().cudaMemcpyKind.cudaMemcpyHostToDevice
        checked(cuda_runtime().cudaMemcpyAsync(device, host, size, kind, self._stream), "copy to the GPU")

    def copy_to_host(self, host: int, device: int, size: int) -> None:
        """Enqueues a copy of `size` bytes from the GPU to pinned memory, by their addresses."""
        kind = cuda_runtime().cudaMemcpyKind.cudaMemcpyDeviceToHost
        checked(cuda_runtime().cudaMemcpyAsync(host, device, size, kind, self._stream), "copy from the GPU")

    def capture(self, enqueue: Callable[[], None]) -> Graph:
        """Records what `enqueue` gives to this stream, without doing it.

        Args:
            enqueue: gives work to this stream and nothing else: no allocation, no waiting.

        Raises:
            MachineError: the work can't be recorded.
        """
        cuda = cuda_runtime()
        # Thread-local: what other threads do with CUDA meanwhile neither fails nor spoils the recording.
        mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        checked(cuda.cudaStreamBeginCapture(self._stream, mode), "begin to record a graph")
        try:
            enqueue()
        except BaseException:
            self._abandon_capture()
            raise
        graph = checked(cuda.cudaStreamEndCapture(self._stream), "record a graph")
        try:
            program = checked(cuda.cudaGraphInstantiate(graph, 0), "make a graph ready")
        finally:
            cuda.cudaGraphDestroy(graph)
        return Graph(self, program)

    def replay(self, program: object) -> None:
        """Enqueues a graph that was made ready."""
        checked(cuda_runtime().cudaGraphLaunch(program, self._stream), "start a graph")

    def close(self) -> None:
        """Waits for the work and gives the stream back; a second call does nothing."""
        if self._free.alive:
            with suppress(MachineError):  # the run that failed has said so
                self.synchronize()
            self._free()

    def _abandon_capture(self) -> None:
        error, graph = cuda_runtime().cudaStreamEndCapture(self._stream)
        if int(error) == 0:
            cuda_runtime().cudaGraphDestroy(graph)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Graph:
    """Recorded work, ready to be replayed as a whole; a context manager. `Stream.capture` makes one."""

    def __init__(self, stream: Stream, program: object) -> None:
        """Takes an executable graph over."""
        self._stream, self._program = stream, program
        self._free = finalize(self, cuda_runtime().cudaGraphExecDestroy, program)

    def launch(self) -> None:
        """Enqueues all of the recorded work, on the same memory as it was recorded with."""
        self._stream.replay(self._program)

    def close(self) -> None:
        """Gives the graph back; a second call does nothing."""
        self._free()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
