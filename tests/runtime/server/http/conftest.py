"""Servers that several tests share, and a bundle for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ....conftest import make_bundle
from .serving import Client, ProcessServer, thread_server


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of 16 and 24 pixels; read only."""
    root = tmp_path_factory.mktemp("tiny")
    make_bundle(root)
    return root


@pytest.fixture(scope="session")
def server(tiny_folder: Path) -> Iterator[ProcessServer]:
    """`mixdq-serve` with a worker process and real engines."""
    utilities = ("--utility", "16=0.5", "--utility", "24=1")
    started = ProcessServer(tiny_folder, *utilities, "--objective-ms", "5000", "--most-body-kib", "16")
    try:
        yield started
    finally:
        started.kill()


@pytest.fixture(scope="session")
def client(server: ProcessServer) -> Client:
    """Of that."""
    return server.client


@pytest.fixture
def grey(tiny_folder: Path) -> Iterator[Client]:
    """Of a server in a thread that makes grey pictures at once."""
    with thread_server(tiny_folder) as client:
        yield client
