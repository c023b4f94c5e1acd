"""A worker in a process of its own, whose crash or hang costs its batch and no more."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from mixdq.configs.errors import MachineError
from mixdq.runtime.work.frames import Frames, to_frame
from mixdq.runtime.work.job import Event, Job, Lost
from mixdq.runtime.work.spec import WorkerSpec

_MAIN = ("-P", "-m", "mixdq.runtime.work.main")
_LAST_WORDS = 20
_GRACE_S = 10.0
"""A worker that is told to stop may finish its batch for so long."""

_log = logging.getLogger(__name__)


class ProcessWork:
    """One life of a worker process; see `Work`.

    It has a process group of its own, so that a terminal's Ctrl-C reaches the server alone. Values go both
    ways over a socket pair that the loop reads and writes without ever waiting; one thread copies what the
    process says on stderr into the log and waits for its end.
    """

    def __init__(self, spec: WorkerSpec, main: Sequence[str] = _MAIN) -> None:
        """Starts nothing.

        Args:
            spec: which engines to hold.
            main: what Python runs; it gets the number of its end of the socket pair as its last argument.
        """
        self._spec, self._main = spec, tuple(main)
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._listen: Callable[[Event], None] | None = None
        self._words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._code: int | None = None
        self._closed = False
        self._ended = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Of the process; None before it starts and after it ended."""
        return None if self._process is None or self._code is not None else self._process.pid

    def start(self, listen: Callable[[Event], None]) -> None:
        """Starts the process, which then loads.

        Raises:
            OSError: the system gives no process or no socket.
            MachineError: there is no GPU for it.
        """
        self._listen = listen
        self._loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = process = subprocess.Popen(
                    [sys.executable, *self._main, str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    process_group=0,
                    env=_environment(self._spec),
                )
            except BaseException:
                ours.close()
                raise
        self._connecting = self._loop.create_task(self._connect(ours))
        threading.Thread(
            target=self._attend, args=(process,), name=f"worker {process.pid}", daemon=True
        ).start()

    def submit(self, job: Job) -> None:
        """Sends a job; what the system does not take yet is sent by the loop later."""
        assert self._transport is not None, "the worker is not ready"
        self._transport.write(to_frame(job))

    def kill(self) -> None:
        """Ends the process at once, stopped or not."""
        if self._process is not None and self._code is None:
            self._process.kill()

    def stop(self) -> None:
        """Closes the socket, at which the process ends after its batch; it is killed if that takes long."""
        self._listen = None
        if self._process is None:
            return
        if self._transport is not None:
            self._transport.close()
        if self._code is None:
            self._loop.call_later(_GRACE_S, self.kill)

    async def ended(self) -> None:
        """Returns when the process has ended and was waited for."""
        if self._process is not None:
            await self._ended.wait()

    async def _connect(self, ours: socket.socket) -> None:
        def protocol() -> Frames:
            return Frames(self._say, self._end)

        try:
            ours.setblocking(False)
            transport, _ = await self._loop.connect_accepted_socket(protocol, ours)
        except BaseException:
            ours.close()
            raise
        self._transport = transport
        transport.write(to_frame(self._spec))

    def _attend(self, process: subprocess.Popen[bytes]) -> None:
        """In a thread of its own."""
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                text = line.decode(errors="replace").rstrip()
                self._words.append(text)
                _log.warning("worker %d: %s", process.pid, text)
        code = process.wait()
        # The loop of a server that is gone takes nothing any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._exited, code)

    def _exited(self, code: int) -> None:
        self._code = code
        self._lose()

    def _end(self) -> None:
        self._closed = True
        self._lose()

    def _lose(self) -> None:
        """Says so once its last message has been read and its exit code is known."""
        if self._closed and self._code is not None:
            self._ended.set()
            self._say(Lost(self._reason(self._code)))
            self._listen = None

    def _say(self, event: Event) -> None:
        if self._listen is not None:
            self._listen(event)

    def _reason(self, code: int) -> str:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        words = f"; its last words: {self._words[-1]}" if self._words else ""
        return f"its process {how}{words}"


def _environment(spec: WorkerSpec) -> dict[str, str]:
    threads = str(spec.threads or 1)
    found = {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    if spec.gpu is not None:
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        found["CUDA_VISIBLE_DEVICES"] = str(spec.gpu) if shown is None else _name_of(spec.gpu, shown)
    return found


def _name_of(gpu: int, shown: str) -> str:
    names = shown.split(",")
    if gpu >= len(names):
        raise MachineError(
            f"there is no GPU for worker {gpu}: CUDA_VISIBLE_DEVICES shows {shown}; start fewer workers"
        )
    return names[gpu]
