from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mixdq.configs.target import Backend
from mixdq.configs.tensorrt_product import builder_name, error_log, reasons, says_out_of_memory


class Logger:
    """The base class of a log, as both products' modules have it."""

    ERROR, INTERNAL_ERROR, WARNING = "error", "internal error", "warning"


@pytest.fixture
def log() -> Any:
    return error_log(SimpleNamespace(ILogger=Logger))


def test_a_builder_is_named_as_its_package_is() -> None:
    assert builder_name(Backend.RTX, "1.7.1") == "tensorrt-rtx 1.7.1"
    assert builder_name(Backend.TENSORRT, "11.4.0") == "tensorrt 11.4.0"


def test_the_last_errors_are_the_reasons_and_warnings_are_none(log: Any) -> None:
    assert reasons(log) == "TensorRT gave no reason"
    log.log(Logger.WARNING, "slow")
    for number, severity in enumerate([Logger.ERROR, Logger.INTERNAL_ERROR, Logger.ERROR, Logger.ERROR]):
        log.log(severity, f"error {number}")
    assert reasons(log) == "error 1; error 2; error 3"


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        ("[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)", True),
        ("[safeDeserialize.cpp::load::269] Error Code 2: OutOfMemory (no further information)", True),
        ("Error Code 1: Serialization (Serialization assertion magicTagRead == kMAGIC_TAG failed.)", False),
    ],
)
def test_memory_that_ran_out_is_told_from_other_errors(log: Any, error: str, memory: bool) -> None:
    log.log(Logger.ERROR, error)
    log.log(Logger.ERROR, "could not deserialize")
    assert says_out_of_memory(log) is memory
