"""Work for child processes, which must be able to import it by name."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path

from mixdq.compiler.memory import available_mib
from mixdq.compiler.stages import Made
from mixdq.compiler.worker import Report
from mixdq.configs.errors import TargetError
from mixdq.configs.files import writing


def add(report: Report, a: int, b: int) -> int:
    return a + b


def count(report: Report, steps: int) -> str:
    for step in range(steps):
        report(f"phase {step}", step + 1, steps)
    return "counted"


def process_id(report: Report) -> int:
    return os.getpid()


def fill(report: Report, mib: int) -> int:
    return len(bytearray(b"x" * (mib << 20)))


def refuse(report: Report) -> None:
    raise TargetError("no such thing; use another")


def stumble(report: Report) -> None:
    raise KeyError("a defect")


def vanish(report: Report) -> None:
    print("about to vanish", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def exhaust(report: Report) -> None:
    raise MemoryError


def exhaust_in_other_words(report: Report, words: str) -> None:
    """As a library does that can't be loaded, and one that says so to its caller."""
    try:
        raise ImportError(words)
    except ImportError as error:
        raise RuntimeError("could not import a part") from error


def available_under_a_limit(report: Report, mib: int) -> float:
    resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))
    return available_mib()


def write(report: Report, path: Path, text: str) -> Made:
    with writing(path) as temporary:
        temporary.write_text(text)
    return Made((path,), text)


def half_write(report: Report, path: Path) -> Made:
    """Writes half a file and waits to be stopped."""
    with writing(path) as temporary:
        temporary.write_text("half")
        report("half-way", 1, 2)
        time.sleep(60)
    return Made((path,))


def half_write_deaf(report: Report, path: Path) -> Made:
    """The same, but it doesn't listen to Ctrl-C, as native code doesn't."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return half_write(report, path)


def half_write_and_die(report: Report, path: Path) -> Made:
    with writing(path) as temporary:
        temporary.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
    return Made((path,))


def together(report: Report, own: Path, other: Path) -> Made:
    """Ends only if the other stage runs at the same time."""
    own.write_text("here")
    for _ in range(3000):
        if other.exists():
            return Made((own,))
        time.sleep(0.01)
    raise TargetError("the other stage never came")


def write_process_id(report: Report, path: Path) -> Made:
    path.write_text(path.name)
    return Made((path,), os.getpid())
