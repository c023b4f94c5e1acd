from __future__ import annotations

from pathlib import Path

import pytest

from mixdq.configs.capability import (
    SourceKind,
    find_capability,
    read_capabilities,
    shipped_capabilities,
)
from mixdq.configs.errors import TargetError
from mixdq.configs.form import Form
from mixdq.configs.layers import Kind
from mixdq.configs.precision import FP8, FP16, Precision
from mixdq.configs.target import RTX_COMPUTE_CAPABILITIES, Target

_TABLE = """\
backend: made
product: Made Up
capabilities: [75, 80]
float_bytes: 2
built: true
entries:
  - kinds: [linear]
    form: int8:channel/int8
    legal: {legal}
    refused: {refused}
    emitted: {emitted}
    source: {{kind: probed, what: a test}}
"""


def _read(
    tmp_path: Path, legal: str = "[80]", refused: str = "{too old: [75]}", emitted: str = "false"
) -> None:
    path = tmp_path / "made.yaml"
    path.write_text(_TABLE.format(legal=legal, refused=refused, emitted=emitted))
    read_capabilities(path)


def test_every_back_end_ships_a_table_whose_entries_say_how_they_are_known() -> None:
    tables = {table.backend: table for table in shipped_capabilities()}
    assert set(tables) == {"cpu", "rtx", "tensorrt", "cuda"}
    kinds = {name: {entry.source.kind for entry in table.entries} for name, table in tables.items()}
    assert kinds["rtx"] == kinds["cpu"] == {SourceKind.PROBED}
    assert kinds["tensorrt"] == kinds["cuda"] == {SourceKind.DOCUMENTED}
    assert all(table.built for table in tables.values())
    assert {75, 80, 86, 89, 90, 100, 120} == set(tables["tensorrt"].capabilities)
    assert set(RTX_COMPUTE_CAPABILITIES) == set(tables["rtx"].capabilities)


def test_what_is_written_today_is_what_the_compiler_takes() -> None:
    always = {Precision(8, 8), Precision(8, 16), FP16}
    linear, convolution = {Precision(4, 16), Precision(4, 8)}, {Precision(4, 16)}
    more = {
        "rtx:sm75": (set[Precision](), set[Precision]()),
        "rtx:sm80": (linear, convolution),
        "rtx:sm86": (linear, convolution),
        "rtx:sm89": ({*linear, FP8}, {*convolution, FP8}),
        "rtx:sm120": ({*linear, FP8}, {*convolution, FP8}),
        "rtx:sm121": ({*linear, FP8}, {*convolution, FP8}),
        "tensorrt:sm90": ({Precision(4, 16), FP8}, {FP8}),
        "cuda:sm90": ({Precision(4, 16)}, set()),
        "cpu": (linear, linear),
    }
    assert {name for name in more if name.startswith("rtx")} == {
        f"rtx:sm{sm}" for sm in RTX_COMPUTE_CAPABILITIES
    }
    for name, added in more.items():
        target = Target.parse(name.replace("tensorrt:sm90", "tensorrt"))
        for kind, own in zip((Kind.LINEAR, Kind.CONVOLUTION), added, strict=True):
            written = {form.precision for form in find_capability(name).forms(kind, unwritten=False)}
            assert written == always | own
            # FP8 has no form before the plan was made legal; see `Target.check`.
            assert {precision for precision in written if not target.holds(precision)} == own & {FP8}


def test_sm89_runs_four_bits_and_fp8_and_sm75_does_not() -> None:
    new, old = find_capability("rtx:sm89"), find_capability("rtx:sm75")
    assert Form.parse("int4:block32/float") in new.forms(Kind.LINEAR, unwritten=True)
    assert Form.parse("fp8:tensor/fp8") in new.forms(Kind.CONVOLUTION, unwritten=True)
    assert Form.parse("int4:channel/int8") not in new.forms(Kind.CONVOLUTION, unwritten=True)
    assert {form.precision.weight_bits for form in old.forms(Kind.LINEAR, unwritten=True)} == {8, 16}


def test_a_refusal_has_its_reason() -> None:
    entries = find_capability("rtx:sm80").entries(Kind.LINEAR)
    reasons = {str(entry.form): entry.reason(80) for entry in entries}
    assert reasons["fp8:tensor/fp8"] == "the model contains HW-specific datatypes: fp8"
    assert "zero point" in reasons["int8:channel/uint8"]
    assert reasons["int4:channel/float"] == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rtx:sm90", "TensorRT for RTX has no compute capability 'sm90' here; the nearest is rtx:sm89 "),
        ("tensorrt:sm103", "the nearest is tensorrt:sm100 "),
        ("cuda:sm75", "the nearest is cuda:sm80 "),
        ("rtx:8.7", "the nearest is rtx:sm86 "),
        ("rtx", "needs a compute capability, and none was said; write one of rtx:sm75, "),
        ("tensorrt:ampere", "'ampere' is none; write one of tensorrt:sm75, "),
        ("cpu:sm80", "cpu has no compute capabilities; write cpu"),
        ("tpu", "unknown target 'tpu'; use one of cpu, cuda:sm80, "),
    ],
)
def test_an_unknown_target_is_refused_with_the_nearest(text: str, message: str) -> None:
    with pytest.raises(TargetError) as refused:
        find_capability(text)
    assert message in str(refused.value)


def test_a_target_prints_as_it_is_found() -> None:
    for text in ("cpu", "rtx:sm121", "tensorrt:sm90", "cuda:sm80"):
        assert str(find_capability(text)) == text


def test_a_table_is_read(tmp_path: Path) -> None:
    _read(tmp_path)
    _read(tmp_path, refused="{for whatever: []}")
    _read(tmp_path, legal="true", refused="{}", emitted="true")


@pytest.mark.parametrize(
    ("legal", "refused", "emitted", "message"),
    [
        ("[80]", "{}", "false", "0 reasons for its refusal on 75"),
        ("[80]", "{one: [75], two: [75]}", "false", "2 reasons for its refusal on 75"),
        ("[80]", "{one: [75, 80]}", "false", "both legal and refused on 80"),
        ("[80, 90]", "{one: [75]}", "false", r"names the compute capabilities \[90\]"),
        ("false", "{one: []}", "true", "is emitted, and nothing takes it"),
        ("maybe", "{one: []}", "false", "legal"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(
    tmp_path: Path, legal: str, refused: str, emitted: str, message: str
) -> None:
    with pytest.raises(TargetError, match=message):
        _read(tmp_path, legal, refused, emitted)


def test_a_form_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "made.yaml"
    text = _TABLE.format(legal="true", refused="{}", emitted="false")
    path.write_text(text + text[text.index("  - kinds") :])
    with pytest.raises(TargetError, match="int8:channel/int8 of linear occurs twice"):
        read_capabilities(path)
