from __future__ import annotations

from pathlib import Path

import pytest

from mixdq.configs.errors import MachineError
from mixdq.eval.speed.bundle_subject import BundleSubject
from mixdq.eval.speed.out_of_memory import killed, out_of_memory_named
from mixdq.eval.speed.subject import Case, Drawing


def _case(root: Path, batch: int) -> Case:
    return Case(BundleSubject.of(root, None, "cpu"), 16, batch, Drawing("abc", 0, 1))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 9"),
        MachineError("CUDA could not allocate: out of memory (error 2)"),
    ],
)
def test_memory_that_runs_out_names_a_smaller_batch(tiny_bundle: Path, error: Exception) -> None:
    message = r"bundle, cpu on cpu, 16 pixels, batch 4: .*--batch 2"
    with pytest.raises(MachineError, match=message), out_of_memory_named(_case(tiny_bundle, 4)):
        raise error


def test_at_batch_1_it_names_a_lower_resolution(tiny_bundle: Path) -> None:
    with pytest.raises(MachineError, match="lower --resolution"), out_of_memory_named(_case(tiny_bundle, 1)):
        raise MemoryError


def test_other_errors_stay_what_they_are(tiny_bundle: Path) -> None:
    with pytest.raises(ValueError, match="another"), out_of_memory_named(_case(tiny_bundle, 1)):
        raise ValueError("another")


def test_a_process_that_the_system_ended_is_taken_for_one_that_ran_out(tiny_bundle: Path) -> None:
    case = _case(tiny_bundle, 2)
    assert "--batch 1" in str(killed(MachineError("a step's process was ended by SIGKILL"), case))
    other = MachineError("a step's process ended with exit code 3")
    assert killed(other, case) is other
