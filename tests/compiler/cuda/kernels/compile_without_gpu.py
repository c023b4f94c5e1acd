"""Compiles each kernel once for a GPU that need not be there; prints the names. Argument: 80, 90, …

Operators are made to be the functions that launch their kernels, and a launch to be a compilation of what it
launches. Triton's interpreter takes some source that its compiler does not.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import torch

import mixdq.compiler.cuda.kernels.register as registration

_TYPES = {
    torch.float16: "*fp16",
    torch.float32: "*fp32",
    torch.int8: "*i8",
    torch.uint8: "*u8",
    torch.int32: "*i32",
}


class _Compiled:
    """Stands in for a kernel: what launches it compiles it, the first time, for compute capability `sm`."""

    def __init__(self, kernel: Any, sm: int, names: set[str]) -> None:
        self._kernel, self._sm, self._names = kernel, sm, names

    def __getitem__(self, grid: Any) -> Any:
        return self._compile

    def _compile(self, *arguments: Any, num_warps: int = 4, num_stages: int = 3, **constants: Any) -> None:
        name = self._kernel.__name__
        if name in self._names:
            return
        compiler: Any = importlib.import_module("triton.compiler")
        target: Any = importlib.import_module("triton.backends.compiler").GPUTarget
        known = dict.fromkeys(constants, "constexpr")
        read = {
            name: "i32" if isinstance(value, int) else _TYPES[value.dtype]
            for name, value in zip(self._kernel.arg_names, arguments, strict=False)
        }
        source = compiler.ASTSource(fn=self._kernel, signature={**read, **known}, constexprs=constants)
        options = {"num_warps": num_warps, "num_stages": num_stages}
        made = compiler.compile(source, target=target("cuda", self._sm, 32), options=options)
        assert made.asm["cubin"]
        self._names.add(name)


def main(sm: int) -> None:
    """Compiles them all."""
    names: set[str] = set()
    registration.INTERPRETED = True
    registration.traced = lambda kernel: _Compiled(kernel, sm, names)
    check: Any = importlib.import_module("mixdq.compiler.cuda.kernels.check")
    draw = importlib.import_module("mixdq.compiler.cuda.kernels.verdicts").Draw(torch.device("cpu"))
    for case in check.odd_checks():
        case(draw)
    print(" ".join(sorted(names)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
