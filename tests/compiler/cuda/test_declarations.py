"""Arrays in torch's C++ are declared where they are used."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from torch._inductor.codegen.cpp_wrapper_cpu import CppWrapperCpu
from torch.utils._ordered_set import OrderedSet

from mixdq.compiler.cuda.declarations import keeping_writers, writers_kept


class _Program:
    """Lines of C++, as Inductor's buffers take them."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def writeline(self, line: str) -> None:
        self.lines.append(line)


def _by_address(self: Any, array: str, writer: Any) -> str:
    """Remembers declarations as torch 2.11 does."""
    known: dict[tuple[str, int], str] = self.known
    if (array, id(writer)) not in known:
        name = f"array_{len(known)}"
        writer(f"{name} = {array}")
        known[array, id(writer)] = name
    return known[array, id(writer)]


class _Wrapper:
    def __init__(self) -> None:
        self.known: dict[tuple[str, int], str] = {}


def test_each_program_declares_the_arrays_that_it_uses() -> None:
    first, second, wrapper = _Program(), _Program(), _Wrapper()
    declare = keeping_writers(_by_address)
    names = [declare(wrapper, "{1, 2}", program.writeline) for program in (first, second)]
    assert [first.lines, second.lines] == [[f"{name} = {{1, 2}}"] for name in names]


def test_without_it_a_program_may_use_what_only_the_other_declares() -> None:
    first, second, wrapper = _Program(), _Program(), _Wrapper()
    for program in (first, second):
        _by_address(wrapper, "{1, 2}", program.writeline)
    assert first.lines
    if second.lines:
        pytest.skip("this Python gives a second bound method another address")


def test_one_program_declares_an_array_once() -> None:
    program, wrapper = _Program(), _Wrapper()
    declare = keeping_writers(_by_address)
    assert len({declare(wrapper, "{3}", program.writeline) for _ in range(3)}) == 1
    assert len(program.lines) == 1


def test_torch_s_own_method_is_replaced_and_put_back() -> None:
    original = CppWrapperCpu.codegen_int_array_var
    wrapper: Any = object.__new__(CppWrapperCpu)
    wrapper.int_array_id, wrapper.declared_int_array_vars = itertools.count(), OrderedSet[str]()
    wrapper.codegen_int_array_var_cache = {}
    programs = [_Program(), _Program()]
    with writers_kept():
        assert CppWrapperCpu.codegen_int_array_var is not original
        for program in programs:
            wrapper.codegen_int_array_var("{4, 5}", program.writeline, known_statically=True)
    assert CppWrapperCpu.codegen_int_array_var is original
    assert [len(program.lines) for program in programs] == [1, 1]
