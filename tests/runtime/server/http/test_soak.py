"""Much use, and nothing that grows."""

from __future__ import annotations

from contextlib import ExitStack

import psutil

from .serving import Client, ProcessServer, head, until

_GROWTH_BYTES = 8 << 20


def test_neither_memory_nor_descriptors_grow(server: ProcessServer, client: Client) -> None:
    process = psutil.Process(server.process.pid)
    _use(client)
    until(lambda: not client.counts()["running"])
    files, memory = process.num_fds(), process.memory_info().rss
    for _ in range(5):
        _use(client)
    until(lambda: process.num_fds() <= files)
    assert process.memory_info().rss - memory < _GROWTH_BYTES
    assert len(process.children()) == 1


def _use(client: Client) -> None:
    """Pictures, bad requests, and clients that go away."""
    for seed in range(40):
        assert client.draw(seed=seed, n=2).status == 200
        assert client.draw(n=0).status == 422
    with ExitStack() as stack:
        for _ in range(20):
            packet = head("/generate", b'{"prompt": "a"}')
            stack.enter_context(client.connect()).sendall(packet)
