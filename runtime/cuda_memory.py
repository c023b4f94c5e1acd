"""Memory that a GPU works with: its own, the host's pinned pages, and scratch that networks take turns in."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Self
from weakref import finalize

import numpy as np

from mixdq.configs.bundle import TensorSpec
from mixdq.configs.errors import MachineError
from mixdq.runtime.cuda_api import checked, cuda_runtime, error_text, free_and_total_bytes
from mixdq.runtime.cuda_stream import Stream
from mixdq.runtime.engine import Array

_MIB = 1 << 20


class Buffer:
    """Bytes in the GPU's memory, aligned to 256; a context manager.

    Attributes:
        address: of the first byte, on the GPU.
        size: bytes.
    """

    def __init__(self, size: int) -> None:
        """Allocates at least one byte.

        Raises:
            MachineError: the GPU has not so much left; says how much there is.
        """
        cuda = cuda_runtime()
        error, address = cuda.cudaMalloc(max(size, 1))
        if int(error) != 0:
            raise out_of_memory(f"could not allocate {-(-size // _MIB)} MiB on it", error_text(error))
        self.address, self.size = int(address), size
        self._free = finalize(self, cuda.cudaFree, self.address)

    def close(self) -> None:
        """Gives the memory back; a second call does nothing."""
        self._free()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PinnedArray:
    """A NumPy array in pages of the host that the GPU copies from and to directly; a context manager.

    Attributes:
        array: the array; not to be touched after `close`.
        address: of its first byte.
    """

    def __init__(self, spec: TensorSpec) -> None:
        """Allocates an array of a tensor's type and shape, all zeros.

        Raises:
            MachineError: the host gives no such pages.
        """
        cuda, dtype = cuda_runtime(), np.dtype(spec.dtype)
        count = int(np.prod(spec.shape, dtype=np.int64))
        size = max(count * dtype.itemsize, 1)
        doing = f"pin {size} bytes of the host's memory"
        self.address = int(checked(cuda.cudaMallocHost(size), doing))
        pages = (ctypes.c_byte * size).from_address(self.address)
        self.array: Array = np.frombuffer(memoryview(pages).cast("B"), dtype, count).reshape(spec.shape)
        self.array.fill(0)
        self._free = finalize(self, cuda.cudaFreeHost, self.address)

    def close(self) -> None:
        """Gives the pages back; a second call does nothing."""
        self._free()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Scratch:
    """Working memory of all networks on one stream, which never run at the same time; a context manager.

    It is as large as the largest of them needs, not as their sum.
    """

    def __init__(self, stream: Stream) -> None:
        """Allocates nothing yet."""
        self._stream = stream
        self._buffer: Buffer | None = None

    def reserve(self, size: int) -> Buffer:
        """A buffer of at least `size` bytes, with the stream's lock held.

        It moves when it has to grow: whoever keeps its address compares it before each use.

        Raises:
            MachineError: the GPU has not so much left.
        """
        if self._buffer is None or self._buffer.size < size:
            self.close()
            self._buffer = Buffer(size)
        return self._buffer

    def close(self) -> None:
        """Waits for the stream's work and gives the memory back."""
        if self._buffer is not None:
            self._stream.synchronize()
            self._buffer.close()
            self._buffer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def out_of_memory(failed: str, reason: str) -> MachineError:
    """The error for a GPU whose memory ran out, with what is free now and what to do.

    Args:
        failed: what could not be done: `could not load unet.engine of 2500 MiB`.
        reason: in the words of whoever refused.
    """
    try:
        free, total = free_and_total_bytes()
        found = f"{free // _MIB} of its {total // _MIB} MiB are free"
    except MachineError as error:
        found = str(error)
    return MachineError(
        f"the GPU ran out of memory: {failed}: {reason}; {found}. Close other programs that use it, load "
        "fewer resolutions, or build one engine for all of them (`mixdq-compile run` with `--layout dynamic`)"
    )


def lacks_bytes(size: int) -> bool:
    """Whether the GPU has less than `size` bytes free; False where CUDA can't say."""
    with suppress(MachineError):
        return free_and_total_bytes()[0] < size
    return False
