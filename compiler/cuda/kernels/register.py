"""How an operator of the namespace `mixdq` is registered: what a GPU runs, what a CPU runs, shapes alone."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeVar, cast

from torch.library import custom_op, triton_op

Implementation = Callable[..., Any]
Operator = TypeVar("Operator", bound=Implementation)


def operator(name: str, *, cpu: Implementation, shape: Implementation) -> Callable[[Operator], Operator]:
    """Registers the decorated function, which launches Triton kernels, as `mixdq::NAME`.

    With Triton installed, AOTInductor sees through the operator: it embeds the kernels' machine code, and
    fuses the torch code around their launches with the operator's neighbours. Without Triton, as on machines
    that have no GPU, the operator is opaque, and its CPU version is what runs.

    Args:
        name: the operator's name.
        cpu: what a CPU computes; its integers are exactly the kernel's.
        shape: empty tensors of the results' forms.
    """
    register: Any = triton_op if find_spec("triton") else custom_op

    def decorate(launch: Operator) -> Operator:
        defined: Any = register(f"mixdq::{name}", launch, mutates_args=())
        defined.register_kernel("cpu")(cpu)
        defined.register_fake(shape)
        return cast(Operator, defined)

    return decorate
