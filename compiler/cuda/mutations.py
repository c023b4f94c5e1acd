"""Which tensors a Triton kernel writes: found out once a kernel, not at every place that calls it."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

_MODULE = "torch._higher_order_ops.triton_kernel_wrap"
_FINDERS = ("identify_mutated_tensors", "identify_accessed_tensors")  # torch up to 2.11, and since
_Finder = Callable[..., Any]


@contextmanager
def mutations_found_once() -> Iterator[None]:
    """Within this context torch's compiler remembers what it found out about a kernel.

    To see which tensors a kernel writes, torch has Triton parse its source and walks through the result,
    several times for each call of the kernel in a graph: at some five hundred calls that is most of the time
    a UNet takes to compile. The answer depends on the kernel, the types of its tensors and its numbers. Where
    torch has no such function any more, nothing happens.
    """
    try:
        module: Any = importlib.import_module(_MODULE)
    except ImportError:
        yield
        return
    originals = {name: getattr(module, name) for name in _FINDERS if hasattr(module, name)}
    for name, finder in originals.items():
        setattr(module, name, remembering(finder))
    try:
        yield
    finally:
        for name, finder in originals.items():
            setattr(module, name, finder)


def remembering(finder: _Finder) -> _Finder:
    """A function that calls `finder(kernel, arguments, descriptors)` once for all arguments that are alike.

    Descriptors of tensors in memory, of which the answer would depend on more, are always asked anew.
    """
    # The kernel itself is kept beside the answer, so that its address can't become another's.
    found: dict[object, tuple[object, Any]] = {}

    def find(kernel: Any, arguments: Mapping[str, Any], descriptors: Mapping[str, Any]) -> Any:
        if descriptors:
            return finder(kernel, arguments, descriptors)
        key = (id(kernel), *((name, _kind(value)) for name, value in arguments.items()))
        if key not in found:
            found[key] = (kernel, finder(kernel, arguments, descriptors))
        return copy.copy(found[key][1])

    return find


def _kind(value: Any) -> object:
    """What of an argument the answer may depend on: a tensor's type; of anything else, all of it."""
    if isinstance(value, torch.Tensor):
        return value.dtype
    if hasattr(value, "get_dtype"):  # a tensor of Inductor's
        return value.get_dtype()
    return type(value), str(value)
