"""Reads a GPU's machine code, as `nvdisasm` prints it, for what it reads and nothing writes."""

from __future__ import annotations

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile

_INSTRUCTION = re.compile(r"\*/\s+(?:@!?U?P[\dT]+\s+)?(?P<name>[A-Z][A-Z0-9_.]*)\s+(?P<operands>[^;]*);")
_UNIFORM = re.compile(r"(?P<pair>desc\[)?\bUR(?P<number>\d+)\b")
_WIDTHS = {".128": 4, ".64": 2, "WIDE": 2}
"""How many registers an instruction of such a name writes."""


def disassembled(binary: bytes) -> str:
    """The instructions of a cubin, by the disassembler that Triton brings along."""
    spec = find_spec("triton")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "backends/nvidia/bin/nvdisasm"
    with NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        command = [str(program), "--print-code", file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def unwritten_registers(code: str) -> set[str]:
    """Uniform registers that instructions read and none writes, by name.

    Matrix instructions are left out: they name four registers by the first, of which they need not read all.
    """
    written: set[int] = set()
    read: set[int] = set()
    for found in _INSTRUCTION.finditer(code):
        name, operands = found["name"], found["operands"].split(",")
        width = next((count for word, count in _WIDTHS.items() if word in name), 1)
        target = _UNIFORM.fullmatch(operands[0].strip())
        if target:
            written |= _run(target, width)
            operands = operands[1:]
        if "GMMA" not in name:
            for source in _UNIFORM.finditer(",".join(operands)):
                pair = source["pair"] or (name.startswith("U") and name.endswith(".64"))
                read |= _run(source, 2 if pair else 1)
    return {f"UR{number}" for number in read - written}


def _run(found: re.Match[str], length: int) -> set[int]:
    first = int(found["number"])
    return set(range(first, first + length))
