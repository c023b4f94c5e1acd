"""How an operator of the namespace `mixdq` is registered: what a GPU runs, what a CPU runs, shapes alone.

With Triton's own switch TRITON_INTERPRET=1 nothing is registered: an operator is the function that launches
its kernels, and these are interpreted, on a CPU too. So their source is checked on machines without a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeVar, cast

import torch
from torch.library import custom_op, triton_op, wrap_triton

Implementation = Callable[..., Any]
Operator = TypeVar("Operator", bound=Implementation)

INTERPRETED = os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "yes", "y")
"""Whether Triton interprets kernels instead of compiling them."""


def operator(name: str, *, cpu: Implementation, shape: Implementation) -> Callable[[Operator], Operator]:
    """Registers the decorated function, which launches Triton kernels, as `mixdq::NAME`.

    With Triton and torch's build for CUDA, AOTInductor sees through the operator: it embeds the kernels'
    machine code, and fuses the torch code around their launches with the operator's neighbours. Elsewhere the
    operator is opaque, and its CPU version is what runs.

    Args:
        name: the operator's name.
        cpu: what a CPU computes; its integers are exactly the kernel's.
        shape: empty tensors of the results' forms.
    """
    seen_through = find_spec("triton") is not None and torch.version.cuda is not None
    register: Any = triton_op if seen_through else custom_op

    def decorate(launch: Operator) -> Operator:
        if INTERPRETED:
            return launch
        defined: Any = register(f"mixdq::{name}", launch, mutates_args=())
        defined.register_kernel("cpu")(cpu)
        defined.register_fake(shape)
        return cast(Operator, defined)

    return decorate


def traced(kernel: Any) -> Any:
    """A Triton kernel as an operator launches it: AOTInductor takes note of the launch."""
    return kernel if INTERPRETED else wrap_triton(kernel)
