"""The reader of machine code finds what ptxas once forgot to write, and nothing in what is right."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

RIGHT = """
    /*0000*/   ULDC.64 UR4, c[0x0][0x210] ;
    /*0010*/   UMOV UR6, URZ ;
    /*0020*/   USHF.R.U32.HI UR12, URZ, 0x4, UR4 ;
    /*0030*/   UIADD3 UR8, UP0, UR12, 0x40, URZ ;
    /*0040*/   UIADD3.X UR9, UR6, 0x40000040, URZ, UP0, !UPT ;
    /*0050*/   UIADD3.64 UR10, UR8, 0x2, URZ ;
    /*0060*/   @!P0 LDG.E.128 R20, desc[UR4][R8.64] ;
    /*0070*/   HGMMA.64x64x16.F32 R24, R72, gdesc[UR16], R24 ;
"""


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], set[str]]:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    found: Callable[[str], set[str]] = importlib.import_module("machine_code").unwritten_registers
    return found


def test_what_is_written_before_or_after_is_not_found(unwritten: Callable[[str], set[str]]) -> None:
    assert unwritten(RIGHT) == set()


@pytest.mark.parametrize(
    ("line", "register"),
    [
        ("UIADD3 UR4, UP0, UR13, 0x40, URZ", "UR13"),
        ("UIADD3.64 UR18, UR12, 0x2, URZ", "UR13"),
        ("@P1 LDG.E R2, desc[UR6][R4.64]", "UR7"),
        ("STS.128 [R9+UR20+0x800], R16", "UR20"),
    ],
)
def test_what_nothing_writes_is_found(unwritten: Callable[[str], set[str]], line: str, register: str) -> None:
    assert unwritten(f"{RIGHT}    /*0080*/   {line} ;\n") == {register}
