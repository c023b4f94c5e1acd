"""Memory that runs out while something is measured, whoever says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mixdq.configs.errors import MachineError
from mixdq.eval.speed.subject import Case

# By their words: torch need not be installed here, and ONNX Runtime's errors have no type of their own.
_WORDS = ("out of memory", "Failed to allocate memory", "bad_alloc", "DefaultCPUAllocator: can't allocate")


@contextmanager
def out_of_memory_named(case: Case) -> Iterator[None]:
    """Inside the process that measures: what it ran out of memory with becomes one clear error.

    Raises:
        MachineError: memory ran out; names a smaller batch, or what else to do.
    """
    try:
        yield
    except Exception as error:
        if not ran_out(error):
            raise
        raise MachineError(f"memory ran out while measuring {case.title}: {advice(case)}") from error


def ran_out(error: BaseException) -> bool:
    """Whether an error, or one behind it, says that memory ran out, the processor's or the GPU's."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, MemoryError) or any(word in str(link) for word in _WORDS):
            return True
        link = link.__cause__
    return False


def killed(error: MachineError, case: Case) -> MachineError:
    """The error of a process that the system ended, in words that help here; others as they are."""
    if "SIGKILL" not in str(error):
        return error
    return MachineError(
        f"the process that measured {case.title} was ended by SIGKILL, as when memory runs out: "
        f"{advice(case)}"
    )


def advice(case: Case) -> str:
    """What takes less memory."""
    if case.batch > 1:
        return f"measure a smaller batch, --batch {case.batch // 2}"
    return "batch 1 is the smallest; measure a lower --resolution, or on a machine with more"
