"""Values over a socket of one machine: each is eight bytes that say its length, then its pickle."""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections.abc import Callable
from typing import Any

_HEADER = 8
_MOST = 1 << 32


def to_frame(value: object) -> bytes:
    """The bytes of a value."""
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(_HEADER, "little") + data


def receive(end: socket.socket) -> Any:
    """Waits for the next value.

    Raises:
        EOFError: the other end is closed.
    """
    return pickle.loads(_read(end, _length(_read(end, _HEADER))))


def _read(end: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        if not (count := end.recv_into(view)):
            raise EOFError("the other end is closed")
        view = view[count:]
    return data


def _length(header: bytearray) -> int:
    length = int.from_bytes(header, "little")
    assert 0 < length < _MOST, f"a frame of {length} bytes"
    return length


class Frames(asyncio.BufferedProtocol):
    """The same for a loop, which it never blocks: values are handed on when all of their bytes are there."""

    def __init__(self, take: Callable[[Any], None], end: Callable[[], None]) -> None:
        """Begins with nothing.

        Args:
            take: is given each value.
            end: is called once, when the other end is closed or gone.
        """
        self._take, self._end = take, end
        self._in_header = True
        self._data = bytearray(_HEADER)
        self._rest = memoryview(self._data)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._rest

    def buffer_updated(self, nbytes: int) -> None:
        """So many have come."""
        self._rest = self._rest[nbytes:]
        if self._rest:
            return
        data = self._data
        self._in_header = not self._in_header
        if self._in_header:
            self._expect(_HEADER)
            self._take(pickle.loads(data))
        else:
            self._expect(_length(data))

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end is gone."""
        self._end()

    def _expect(self, size: int) -> None:
        self._data = bytearray(size)
        self._rest = memoryview(self._data)
