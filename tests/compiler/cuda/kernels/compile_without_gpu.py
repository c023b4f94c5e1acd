"""Compiles every form of each kernel for a GPU that need not be there; prints the kernels' names.

Arguments: compute capability (80, 90, …) and tables of tiles. Operators are made to be the functions that
launch their kernels, and a launch to be a compilation of what it launches: the interpreter takes some source
that the compiler does not. The machine code may read no uniform register that nothing writes: ptxas 12.8 has
made such code of what was right until then.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import mixdq.compiler.cuda.kernels.register as registration
from mixdq.compiler.cuda.kernels.tiles import TileTable, tiles_of

_TYPES = {
    torch.float16: "*fp16",
    torch.float32: "*fp32",
    torch.int8: "*i8",
    torch.uint8: "*u8",
    torch.int32: "*i32",
}


class _Compiled:
    """Stands in for a kernel: a launch compiles it, once for all launches of the same form."""

    def __init__(self, kernel: Any, sm: int, forms: set[tuple[object, ...]]) -> None:
        self._kernel, self._sm, self._forms = kernel, sm, forms

    def __getitem__(self, grid: Any) -> Any:
        return self._compile

    def _compile(self, *tensors: Tensor, num_warps: int = 4, num_stages: int = 3, **constants: Any) -> None:
        # What has two values, how many bits or splits there are, and whether blocks divide what they walk
        # along; sizes are no form of their own.
        flags = {name: value for name, value in constants.items() if isinstance(value, bool)}
        even = tuple(
            constants.get(length, 0) % constants.get(block, 1) == 0
            for length, block in (("K", "BLOCK_K"), ("KEYS", "BLOCK_N"))
        )
        parts = (constants.get("BITS"), constants.get("SPLITS", 1) > 1)
        form = (self._kernel.__name__, *flags.items(), *even, *parts)
        if form in self._forms:
            return
        compiler: Any = importlib.import_module("triton.compiler")
        target: Any = importlib.import_module("triton.backends.compiler").GPUTarget
        read = {
            name: _TYPES[tensor.dtype] for name, tensor in zip(self._kernel.arg_names, tensors, strict=False)
        }
        source = compiler.ASTSource(
            fn=self._kernel,
            signature={**read, **dict.fromkeys(constants, "constexpr")},
            constexprs=constants,
            attrs={(place,): [["tt.divisibility", 16]] for place in range(len(read))},
        )
        options = {"num_warps": num_warps, "num_stages": num_stages}
        made = compiler.compile(source, target=target("cuda", self._sm, 32), options=options)
        code: Any = importlib.import_module("machine_code")
        unwritten = code.unwritten_registers(code.disassembled(made.asm["cubin"]))
        assert not unwritten, f"{form} of {constants} reads {unwritten}, which nothing writes"
        self._forms.add(form)


def main(sm: int, tables: Sequence[Path]) -> None:
    """Compiles them all."""
    forms: set[tuple[object, ...]] = set()
    registration.INTERPRETED = True
    registration.traced = lambda kernel: _Compiled(kernel, sm, forms)
    check: Any = importlib.import_module("mixdq.compiler.cuda.kernels.check")
    draw = importlib.import_module("mixdq.compiler.cuda.kernels.verdicts").Draw(torch.device("cpu"))
    for table in tables:
        with tiles_of(TileTable.read(table)):
            for case in check.odd_checks():
                case(draw)
    print(f"{len(forms)} forms")
    print(" ".join(sorted({str(form[0]) for form in forms})))


if __name__ == "__main__":
    main(int(sys.argv[1]), [Path(table) for table in sys.argv[2:]])
