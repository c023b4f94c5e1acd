"""Values over a socket, whatever pieces they come in."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import numpy as np
import pytest

from mixdq.runtime.work.frames import Frames, receive, to_frame
from mixdq.runtime.work.job import Made

pytestmark = pytest.mark.anyio


def test_a_value_of_many_packets_comes_whole() -> None:
    ours, theirs = socket.socketpair()
    picture = np.arange(3 << 20, dtype=np.uint32).astype(np.uint8).reshape(1024, 1024, 3)
    with ours, theirs:
        frame = to_frame(Made(7, (picture,), 0.5, None))
        writer = threading.Thread(target=ours.sendall, args=(frame,))
        writer.start()
        made = receive(theirs)
        writer.join()
    assert (made.number, made.service_s) == (7, 0.5)
    assert np.array_equal(made.pictures[0], picture)


def test_the_end_between_values_and_within_one_is_an_end() -> None:
    for sent in (b"", to_frame("abc")[:3], to_frame("abc")[:-1]):
        ours, theirs = socket.socketpair()
        with theirs:
            ours.sendall(sent)
            ours.close()
            with pytest.raises(EOFError):
                receive(theirs)


def test_pieces_make_the_values_that_they_are_of() -> None:
    values: list[object] = ["first", list(range(1000)), "third"]
    data = b"".join(map(to_frame, values))
    for size in (1, 3, 8, 100, len(data)):
        found: list[object] = []
        frames = Frames(found.append, lambda: None)
        rest = memoryview(data)
        while rest:
            room = frames.get_buffer(-1)
            count = min(size, len(room), len(rest))
            room[:count] = rest[:count]
            frames.buffer_updated(count)
            rest = rest[count:]
        assert found == values


async def test_a_loop_reads_them_and_hears_the_end() -> None:
    ours, theirs = socket.socketpair()
    heard: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    ours.setblocking(False)
    await loop.connect_accepted_socket(
        lambda: Frames(heard.put_nowait, lambda: heard.put_nowait("end")), ours
    )
    with theirs:
        theirs.sendall(to_frame("one") + to_frame("two")[:5])
        assert await heard.get() == "one"
        theirs.sendall(to_frame("two")[5:])
        assert await heard.get() == "two"
    assert await heard.get() == "end"
