"""What torch finds out about kernels is found out once, and torch is left as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch._higher_order_ops.triton_kernel_wrap as wrap

from mixdq.compiler.cuda.mutations import mutations_found_once, remembering

_HALF = torch.zeros(2, dtype=torch.float16)
_BYTES = torch.zeros(2, dtype=torch.int8)


class Finder:
    """Answers with the names of all tensors, and counts the questions."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, kernel: object, arguments: Mapping[str, Any], descriptors: object) -> list[str]:
        self.asked += 1
        return [name for name, value in arguments.items() if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize(
    ("kernel", "arguments", "asked"),
    [
        ("first", {"out": torch.ones(3, dtype=torch.float16), "m": 4}, 1),  # another tensor of the type
        ("first", {"out": _BYTES, "m": 4}, 2),
        ("first", {"out": _HALF, "m": 5}, 2),
        ("first", {"out": _HALF, "m": True}, 2),
        ("second", {"out": _HALF, "m": 4}, 2),
    ],
)
def test_a_kernel_is_looked_at_once_for_each_kind_of_arguments(
    kernel: str, arguments: dict[str, Any], asked: int
) -> None:
    finder = Finder()
    find = remembering(finder)
    assert find("first", {"out": _HALF, "m": 4}, {}) == ["out"]
    assert find(kernel, arguments, {}) == ["out"]
    assert finder.asked == asked


def test_an_answer_that_a_caller_changes_stays_as_it_was() -> None:
    find = remembering(Finder())
    find("kernel", {"out": _HALF}, {}).clear()
    assert find("kernel", {"out": _HALF}, {}) == ["out"]


def test_tensors_that_come_with_descriptors_are_looked_at_each_time() -> None:
    finder = Finder()
    find = remembering(finder)
    for _ in range(2):
        find("kernel", {"out": _HALF}, {"out": "tiled"})
    assert finder.asked == 2


def test_torch_asks_the_remembering_function_within_the_context_alone() -> None:
    (name,) = [one for one in ("identify_mutated_tensors", "identify_accessed_tensors") if hasattr(wrap, one)]
    before = getattr(wrap, name)
    with mutations_found_once():
        assert getattr(wrap, name) is not before
    assert getattr(wrap, name) is before
