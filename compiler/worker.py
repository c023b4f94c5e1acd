"""Work in child processes: its memory is measured and given back, and a crash or Ctrl-C ends it alone."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from mixdq.compiler.memory import give_back, peak_mib, reset_peak
from mixdq.configs.errors import EXIT_INTERRUPTED, MachineError, MixdqError
from mixdq.configs.extras import missing_extra

T = TypeVar("T")

_GRACE_S = 3.0
_REPORT_INTERVAL_S = 0.05
_OUT_OF_GPU_MEMORY = "cuda out of memory"
_OUT_OF_MEMORY = (
    *("cannot allocate memory", "can't allocate memory", "failed to allocate memory", "bad_alloc"),
    *("failed to map segment", "can't start new thread", _OUT_OF_GPU_MEMORY),
)
"""What the system, its loader, torch, ONNX Runtime and C++ say when memory, or a limit on it, ran out."""
_CHILD = "from mixdq.compiler.worker import serve; serve()"


class Report(Protocol):
    """Called by the work to say how far it is."""

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        """Reports `done` of `total` steps of a phase; total None if nobody knows."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """Work for a child: a module's own function, and arguments that can be pickled.

    The function's first parameter is the `Report` to call; `arguments` follow.
    """

    function: Callable[..., T]
    arguments: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """A message from the child: how far it is."""

    phase: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Finished(Generic[T]):
    """A message from the child: what the work returned, its seconds and its peak memory."""

    value: T
    seconds: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class _Failed:
    error: MixdqError | None
    trace: str


class Worker:
    """A child process that does one call after another; a context manager that never leaves it behind.

    The child runs in its own process group, so Ctrl-C reaches the parent alone, which then stops it. It ends
    by itself when the parent is gone.
    """

    def __init__(self) -> None:
        self.connection: Connection
        self.connection, theirs = Pipe()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `stop`)
        command = [sys.executable, "-P", "-c", _CHILD, str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            process_group=0,
            # An OpenMP thread that spins while it waits takes the core that the child beside it needs.
            env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},
        )
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def submit(self, call: Call[Any]) -> None:
        """Hands over a call; `receive` brings its messages."""
        self.connection.send_bytes(pickle.dumps(call))

    def receive(self) -> Progress | Finished[Any]:
        """Waits for the child's next message.

        Raises:
            MixdqError: the one that the call raised.
            MachineError: the child was killed or crashed, or lacks a library that an extra brings.
            RuntimeError: a defect: the call raised anything else; its traceback is in the message.
        """
        try:
            message: Progress | Finished[Any] | _Failed = pickle.loads(self.connection.recv_bytes())
        except (EOFError, ConnectionError):
            raise MachineError(self._last_words()) from None
        if not isinstance(message, _Failed):
            return message
        if message.error is not None:
            raise message.error
        raise RuntimeError(f"a step failed in its child process:\n{message.trace}")

    def interrupt(self) -> None:
        """Tells the child to drop its work and to end; does not wait for it."""
        self.connection.close()

    def stop(self) -> None:
        """Ends the child: interrupts it, and kills it if it does not listen."""
        self.interrupt()
        if self._process.poll() is None:
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._output.close()

    def _last_words(self) -> str:
        code = self._process.wait()
        self._output.seek(0)
        words = self._output.read().decode(errors="replace").strip().splitlines()[-12:]
        tail = "\n".join(["; its last output:", *words]) if words else ""
        if code >= 0:
            return f"a step's process ended with exit code {code} before it was done{tail}"
        name = signal.Signals(-code).name
        advice = "; if memory ran out, use --jobs 1 or a machine with more" if name == "SIGKILL" else ""
        return f"a step's process was ended by {name}{advice}{tail}"


def run_in_child(function: Callable[..., T], *arguments: object, report: Report | None = None) -> Finished[T]:
    """Runs `function(report, *arguments)` in a fresh child process.

    Raises:
        MixdqError: the one that the function raised.
        MachineError: the child was killed or crashed.
    """
    with Worker() as worker:
        worker.submit(Call(function, arguments))
        while True:
            message = worker.receive()
            if isinstance(message, Finished):
                return message
            if report is not None:
                report(message.phase, message.done, message.total)


def serve() -> None:
    """The child's main loop: takes calls from the inherited connection until the parent closes it."""
    # A parent that was started in the background hands down an ignored SIGINT, which `_listen` relies on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    connection = Connection(int(sys.argv[1]))
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, calls), daemon=True).start()
    try:
        while True:
            connection.send_bytes(pickle.dumps(_perform(calls.get(), _reporter(connection))))
            give_back()
    except KeyboardInterrupt:
        os._exit(EXIT_INTERRUPTED)


def _listen(connection: Connection, calls: queue.SimpleQueue[bytes]) -> None:
    """Queues what the parent sends; at the parent's end, interrupts the work so that it cleans up."""
    try:
        while True:
            calls.put(connection.recv_bytes())
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(_GRACE_S)
        os._exit(EXIT_INTERRUPTED)


def _perform(data: bytes, report: Report) -> Finished[Any] | _Failed:
    reset_peak()
    start = time.perf_counter()
    try:
        call: Call[Any] = pickle.loads(data)
        value = call.function(report, *call.arguments)
    except MixdqError as error:
        return _Failed(_plain(error), traceback.format_exc())
    except ModuleNotFoundError as error:
        return _Failed(missing_extra(error), traceback.format_exc())
    except Exception as error:  # noqa: BLE001 (a defect: its traceback must reach the parent)
        return _Failed(_out_of_memory(error), traceback.format_exc())
    return Finished(value, time.perf_counter() - start, peak_mib())


def _out_of_memory(error: BaseException) -> MachineError | None:
    """The error to show where memory ran out, in the words of what noticed it; None if it did not."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, MemoryError) or any(words in str(link).lower() for words in _OUT_OF_MEMORY):
            found = f" ({str(link).splitlines()[0]})" if str(link) else ""
            if _OUT_OF_GPU_MEMORY in str(link).lower():
                return MachineError(
                    f"the GPU's memory ran out in a step{found}; end what else runs on it, use --jobs 1, or "
                    "choose a lower resolution, a smaller batch or fewer bits"
                )
            return MachineError(
                f"a step ran out of memory{found}; use --jobs 1, raise a limit that is set (`ulimit -v`) or "
                "use a machine with more"
            )
        link = link.__cause__ or link.__context__
    return None


def _plain(error: MixdqError) -> MixdqError:
    """The error by its kind and message, without parts that can't be pickled."""
    for kind in type(error).__mro__:
        if issubclass(kind, MixdqError) and kind.__module__ == MixdqError.__module__:
            return kind(str(error))
    return MixdqError(str(error))


def _reporter(connection: Connection) -> Report:
    last_phase, last_time = "", 0.0

    def report(phase: str, done: int, total: int | None) -> None:
        nonlocal last_phase, last_time
        now = time.monotonic()
        if phase != last_phase or now - last_time > _REPORT_INTERVAL_S:
            last_phase, last_time = phase, now
            connection.send_bytes(pickle.dumps(Progress(phase, done, total)))

    return report
