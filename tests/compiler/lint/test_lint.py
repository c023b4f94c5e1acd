"""The command, on hand-made bundles that break a rule each and on emoji-turbo as it is compiled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mixdq.compiler.cli import app
from mixdq.compiler.lint.finding import Severity
from mixdq.compiler.lint.lint import lint


def _lint(root: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["lint", str(root), *words])


def test_a_bundle_without_fault_exits_with_0(folder: Any) -> None:
    done = _lint(folder.root)
    assert done.exit_code == 0, done.output
    assert "rtx:sm89, engines/unet-16.rtx-sm89.engine: layers not read" in done.output
    assert "1 graphs, 9 rules: 0 failures, 0 notes" in done.output


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("planned-not-quantized", "MatMul (d, dp)", "MatMul (x, dp)"),
        ("quantized-not-planned", "y = MatMul (d, dp)", "m = MatMul (d, dp) y = Add (m, d)"),
        ("planned-form", "float16[2] sw = {15360, 15360}", "float[2] sw = {1, 1}"),
        ("zero-point", "int8 z = {0}", "int8 z = {4}"),
        (
            "fp32-island",
            "y = MatMul (d, dp)",
            'm = MatMul (d, dp) n = Cast <to = 1> (m) o = Cast <to = 10> (n) ["other"] y = MatMul (o, o)',
        ),
        ("duplicate-qdq", '["p"]', 'q2 = QuantizeLinear (x, s, z) d2 = DequantizeLinear (q2, s, z) ["p"]'),
        (
            "concat-scales",
            '["p"]',
            "c = Concat <axis = 0> (d, d) qc = QuantizeLinear (c, t, z) dc = DequantizeLinear (qc, t, z)"
            ' ["p"]',
        ),
        (
            "qdq-before-activation",
            "y = MatMul (d, dp)",
            "m = MatMul (d, dp) qm = QuantizeLinear (m, s, z) dm = DequantizeLinear (qm, s, z) y = Relu (dm)",
        ),
    ],
)
def test_a_bundle_that_breaks_a_rule_exits_with_1_and_names_it(
    folder: Any, graph_text: str, rule: str, old: str, new: str
) -> None:
    assert old in graph_text
    declared = "float16 t = {13312}, float16[2,2] m, float[2,2] n, float16[2,2] o, float16 s ="
    folder.put(graph_text.replace("float16 s =", declared).replace(old, new))
    done = _lint(folder.root)
    assert done.exit_code == 1, done.output
    assert rule in done.output
    records = json.loads(_lint(folder.root, "--json").output)
    assert records["fails"]
    assert rule in {each["finding"]["rule"] for each in records["findings"]}
    assert records["findings"][0]["places"] == ["onnx/tensorrt/unet-16.onnx"]


def test_a_note_does_not_fail(folder: Any, graph_text: str) -> None:
    folder.put(graph_text.replace("float16 s =", "float16[2,2] d, float16 s ="))
    done = _lint(folder.root)
    assert done.exit_code == 0, done.output
    assert "matrix-vector" in done.output
    assert "0 failures, 1 notes" in done.output


def test_findings_that_differ_in_their_layer_alone_share_a_line(folder: Any, graph_text: str) -> None:
    strays = "".join(
        f' ["q{i}"] q{i} = QuantizeLinear (x, t{i}, z) ["d{i}"] d{i} = DequantizeLinear (q{i}, t{i}, z)'
        f' ["sum{i}"] s{i} = Relu (d{i})'
        for i in range(5)
    )
    points = ", ".join(f"float16 t{i} = {{{15361 + i}}}" for i in range(5))
    text = graph_text.replace("float16 s =", f"{points}, float16 s =").replace('["p"]', f'{strays} ["p"]')
    folder.put(text.replace("int8 z = {0}", "int8 z = {4}"))
    output = _lint(folder.root).output
    assert "and 9 more" in output  # six pairs: twelve nodes with a zero point off zero


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "bundle.json").unlink(), "holds no readable bundle"),
        (lambda root: (root / "onnx/tensorrt/unet-16.onnx").unlink(), "is missing from the bundle"),
        (lambda root: (root / "onnx/tensorrt/unet-16.onnx").write_bytes(b""), "was changed or damaged"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    folder: Any, mixdq_compile: Any, damage: Any, message: str
) -> None:
    damage(folder.root)
    done = mixdq_compile("lint", folder.root)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_emoji_turbo_in_w8a8_breaks_no_rule(emoji_w8a8: Path) -> None:
    report = lint(emoji_w8a8, kernels=False)
    assert [each for each in report.findings if each.finding.severity is Severity.FAILURE] == []
    # The plan asks for the two embeddings' four layers and the seventeen resnets' projections.
    assert {each.finding.rule for each in report.findings} == {"matrix-vector"}
    assert len(report.findings) == 4 + 17
    assert {place for each in report.findings for place in each.places} == {
        "onnx/ort/unet-128.onnx",
        "onnx/ort/unet-192.onnx",
    }
    assert len(report.graphs) == 6


def test_a_bundle_for_rtx_breaks_no_rule(tiny_run: Path) -> None:
    report = lint(tiny_run, kernels=False)
    assert not report.fails
    assert {name for name in report.graphs if name.startswith("onnx/tensorrt/unet")} == {
        "onnx/tensorrt/unet-64.onnx"
    }
