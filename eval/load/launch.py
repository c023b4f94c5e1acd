"""A server of one's own: started for a measurement, stopped after it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixdq.configs.errors import EvaluationError
from mixdq.runtime.server.auth import KEYS_VARIABLE

_HOST = "127.0.0.1"
_POLL_S = 0.1
_STOP_S = 30.0
_LOG_LINES = 5
_PROGRAM = "from mixdq.runtime.cli import main; main()"


@dataclass(frozen=True, slots=True)
class Launched:
    """A server that is ready.

    Attributes:
        url: where.
        pid: of its process; its workers are children of it.
    """

    url: str
    pid: int


@contextmanager
def launched(arguments: Sequence[str], log: Path, ready_s: float) -> Iterator[Launched]:
    """Runs `mixdq-serve` until the block ends.

    Args:
        arguments: of `mixdq-serve`, without address and port.
        log: the file for what it writes.
        ready_s: how long it may take until it is ready.

    Raises:
        EvaluationError: it ended, or was not ready in time; the end of its log is said.
    """
    port = _free_port()
    command = [sys.executable, "-c", _PROGRAM, *arguments, "--host", _HOST, "--port", str(port)]
    log.parent.mkdir(parents=True, exist_ok=True)
    # Keys of other servers on this machine are none of this one's.
    environment = {name: text for name, text in os.environ.items() if name != KEYS_VARIABLE}
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    try:
        url = f"http://{_HOST}:{port}"
        _wait(process, url, log, ready_s)
        yield Launched(url, process.pid)
    finally:
        _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], url: str, log: Path, ready_s: float) -> None:
    end_s = time.monotonic() + ready_s
    while not _is_ready(url):
        if process.poll() is not None:
            raise EvaluationError(f"mixdq-serve ended with {process.returncode}: {_tail(log)}")
        if time.monotonic() > end_s:
            raise EvaluationError(f"mixdq-serve was not ready within {ready_s:g} s: {_tail(log)}")
        time.sleep(_POLL_S)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return f"{' | '.join(lines[-_LOG_LINES:]) or 'it wrote nothing'} (all of it: {log})"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
