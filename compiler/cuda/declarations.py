"""Arrays of sizes in the C++ that torch writes: each is declared in the function that uses it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_MODULE = "torch._inductor.codegen.cpp_wrapper_cpu"
_CLASS, _METHOD = "CppWrapperCpu", "codegen_int_array_var"


@contextmanager
def writers_kept() -> Iterator[None]:
    """Within this context torch's compiler knows by whom an array was declared.

    It writes a program twice, and remembers declarations by the address of the function that wrote them: of a
    method bound for one call, which the next one may get again (torch 2.11; 2.13 goes by the object). Now and
    then a UNet then used an array of the first program that the second doesn't declare, and its C++ did not
    compile. Where torch has no such method, nothing happens.
    """
    try:
        wrapper: Any = getattr(importlib.import_module(_MODULE), _CLASS)
        original = getattr(wrapper, _METHOD)
    except (ImportError, AttributeError):
        yield
        return
    setattr(wrapper, _METHOD, keeping_writers(original))
    try:
        yield
    finally:
        setattr(wrapper, _METHOD, original)


def keeping_writers(declare: Callable[..., str]) -> Callable[..., str]:
    """A method that calls `declare(self, array, writer, …)` with one bound method for each writing object."""

    def named(self: Any, int_array: str, writeline: Callable[..., None], *others: Any, **options: Any) -> str:
        kept = self.__dict__.setdefault("_kept_writers", {})
        # The method keeps its object, so that no other gets the address of either.
        owner = getattr(writeline, "__self__", writeline)
        writer = kept.setdefault((id(owner), getattr(writeline, "__name__", "")), writeline)
        return declare(self, int_array, writer, *others, **options)

    return named
