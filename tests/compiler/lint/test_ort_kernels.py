from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx.parser import parse_model

from mixdq.compiler.lint.finding import Severity
from mixdq.compiler.lint.ort_kernels import judge, optimized_kinds
from mixdq.compiler.lint.subject import Planned
from mixdq.configs.errors import GraphError

# A product and a convolution, both W8A8 in ONNX Runtime's form; the convolution's output is not quantized.
_TEXT = """<ir_version: 10, opset_import: ["" : 21]>
g (float[1,4,2] x, float[1,1,4,4] image) => (float[1,4,2] y, float[1,2,4,3] z)
<int8[2,2] w = {1, 2, 3, 4}, float[2] sw = {0.5, 0.25},
 int8[2,1,1,2] wc = {1, 2, 3, 4}, float s = {0.1}, uint8 p = {128}> {
    qx = QuantizeLinear (x, s, p)
    dx = DequantizeLinear (qx, s, p)
    dw = DequantizeLinear <axis = 1> (w, sw)
    ["product"] y = MatMul (dx, dw)
    qi = QuantizeLinear (image, s, p)
    di = DequantizeLinear (qi, s, p)
    dc = DequantizeLinear <axis = 0> (wc, sw)
    ["conv"] z = Conv (di, dc)
}"""


def _nothing(phase: str, done: int, total: int | None) -> None:
    pass


@pytest.fixture
def kinds(tmp_path: Path) -> dict[str, str]:
    onnx.save(parse_model(_TEXT), tmp_path / "unet.onnx")
    return dict(optimized_kinds(_nothing, tmp_path / "unet.onnx"))


def test_a_product_computes_in_integers_and_a_convolution_without_a_quantized_output_does_not(
    kinds: dict[str, str], planned: Callable[..., Planned]
) -> None:
    found = judge("unet.onnx", "cpu", kinds, planned(product="W8A8", conv="W8A8"))
    assert found.said == "1 of 2 quantized inputs meet a kernel of integers"
    assert [(each.where, each.severity) for each in found.findings] == [("conv", Severity.NOTE)]
    assert "in floating point (Conv)" in found.findings[0].found


def test_a_layer_whose_input_the_plan_keeps_may_compute_in_floating_point(
    kinds: dict[str, str], planned: Callable[..., Planned]
) -> None:
    assert not judge("unet.onnx", "cpu", kinds, planned(product="W8A8", conv="W8A16")).findings


def test_a_layer_that_another_name_stands_for_is_not_judged(planned: Callable[..., Planned]) -> None:
    found = judge("unet.onnx", "cpu", {"fused": "Gemm"}, planned(product="W8A8"))
    assert (found.said, found.findings) == ("0 of 0 quantized inputs meet a kernel of integers", ())


def test_a_graph_that_onnx_runtime_refuses_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "unet.onnx").write_bytes(b"no graph")
    with pytest.raises(GraphError, match=r"refused .*unet\.onnx"):
        optimized_kinds(_nothing, tmp_path / "unet.onnx")
