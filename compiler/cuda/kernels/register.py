"""How an operator of the namespace `mixdq` is registered: what a GPU runs, what a CPU runs, shapes alone."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch.library import custom_op, triton_op

Implementation = Callable[..., torch.Tensor]


def operator(
    name: str, *, cpu: Implementation, shape: Implementation
) -> Callable[[Implementation], Implementation]:
    """Registers the decorated function, which launches Triton kernels, as `mixdq::NAME`.

    With Triton installed, AOTInductor sees through the operator: it embeds the kernels' machine code, and
    fuses the torch code around their launches with the operator's neighbours. Without Triton, as on machines
    that have no GPU, the operator is opaque, and its CPU version is what runs.

    Args:
        name: the operator's name.
        cpu: what a CPU computes; its integers are exactly the kernel's.
        shape: an empty tensor of the result's form.
    """
    register: Any = triton_op if find_spec("triton") else custom_op

    def decorate(launch: Implementation) -> Implementation:
        defined: Any = register(f"mixdq::{name}", launch, mutates_args=())
        defined.register_kernel("cpu")(cpu)
        defined.register_fake(shape)
        callable_operator: Implementation = defined
        return callable_operator

    return decorate
