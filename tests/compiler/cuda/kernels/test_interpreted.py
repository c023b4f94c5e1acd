"""The kernels' own source on a machine without a GPU: interpreted on the processor, compiled for two GPUs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from mixdq.compiler.cuda import kernels

# Small tiles: sums that are split, terms that are read early or late, more rows of tiles than a group has.
TABLES = [Path(__file__).parent / "tiles" / f"{name}.json" for name in ("split", "early")]
_KERNEL = re.compile(r"^def (\w+_kernel)\(", re.MULTILINE)


def _triton() -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in version("triton").split(".")[:2])
    except PackageNotFoundError:
        return ()


# The interpreter of 3.6 can't count a loop with NumPy 2.4.
pytestmark = pytest.mark.skipif(_triton() < (3, 7), reason="needs Triton 3.7 or later")


@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_a_kernel_agrees_with_fp64_and_bit_for_bit_in_int32(table: Path, part: int) -> None:
    options = ["--table", str(table), "--part", str(part), "--parts", "2"]
    command = [sys.executable, "-m", "mixdq.compiler.cuda.kernels.check", *options]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-1].endswith("cases on cpu, interpreted, 0 wrong")


@pytest.mark.parametrize("sm", [80, 90])
def test_every_form_of_the_kernels_compiles(sm: int, tmp_path: Path) -> None:
    sources = Path(str(kernels.__file__)).parent.glob("triton_*.py")
    expected = {name for file in sources for name in _KERNEL.findall(file.read_text())}
    script = Path(__file__).with_name("compile_without_gpu.py")
    command = [sys.executable, str(script), str(sm), *map(str, TABLES)]
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    *_, forms, names = ended.stdout.splitlines()
    assert set(names.split()) == expected
    assert int(forms.split()[0]) > 2 * len(expected)
