from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.table import Table

from mixdq.compiler.bitmap_report import BitmapReport
from mixdq.configs.errors import PlanError
from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable, ModelIdentity

_NAMES = ("conv_in", "time_embedding.linear_1", "conv_out")


@pytest.fixture
def table() -> LayerTable:
    """Three layers, each of 12 weights, read at one position."""
    return LayerTable(
        ModelIdentity("three", "3" * 64),
        tuple(LayerSpec(LayerName(name), Kind.LINEAR, (4, 3), True, None, {64: 12}) for name in _NAMES),
    )


def _report(folder: Path, table: LayerTable, maps: Mapping[str, Mapping[str, int]]) -> BitmapReport:
    for name, bits in maps.items():
        (folder / name).write_text("".join(f"model.{layer}: {width}\n" for layer, width in bits.items()))
    return BitmapReport.read([folder], table, 64)


def _lines(report: BitmapReport) -> list[str]:
    return [part for part in report.in_words() if isinstance(part, str)]


def _fp16(report: BitmapReport) -> list[str]:
    (view,) = (part for part in report.in_words() if isinstance(part, Table))
    return [str(cell) for cell in view.columns[3].cells]


def test_a_map_of_weights_that_lacks_layers_is_a_finding(tmp_path: Path, table: LayerTable) -> None:
    report = _report(tmp_path, table, {"weight_8.00.yaml": {"conv_in": 8}})
    (line,) = _lines(report)
    assert "weight_8.00.yaml: 2 of 3 layers are missing: conv_out, time_embedding.linear_1; give" in line
    # What is missing is not known to be FP16.
    assert _fp16(report) == ["0"]


def test_what_a_map_of_activations_leaves_out_stays_fp16(tmp_path: Path, table: LayerTable) -> None:
    report = _report(tmp_path, table, {"act_8.00.yaml": dict.fromkeys(_NAMES[1:], 8)})
    note, verdict = _lines(report)
    assert "act_8.00.yaml: 1 of 3 layers are missing: conv_in; their activations stay FP16" in note
    assert verdict.startswith("no map of weights lacks a layer, no map claims other bits")
    assert _fp16(report) == ["1"]


def test_whole_maps_have_no_findings(tmp_path: Path, table: LayerTable) -> None:
    maps = {
        "weight_8.00.yaml": dict.fromkeys(_NAMES, 8),
        "act_4.00.yaml": dict.fromkeys(_NAMES, 4),
    }
    assert len(_lines(_report(tmp_path, table, maps))) == 1


def test_a_map_that_does_not_say_what_it_holds_is_refused(tmp_path: Path, table: LayerTable) -> None:
    with pytest.raises(PlanError, match=r"best\.yaml does not say whether its bits are of weights"):
        _report(tmp_path, table, {"best.yaml": dict.fromkeys(_NAMES, 8)})
