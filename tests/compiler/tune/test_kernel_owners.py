from __future__ import annotations

import pytest
from onnx.parser import parse_model

from mixdq.compiler.tune.kernel_owners import KernelOwners
from mixdq.configs.layers import LayerName

# Two linear layers read one quantized pair, which is named after the first; `a` has a bias, and `conv` is a
# layer whose convolution ONNX Runtime renames after its output.
GRAPH = """<ir_version: 10, opset_import: ["" : 20]>
g (float[1,4] x, float[1,1,4,4] picture) => (float[1,4] y, float[1,4] z, float[1,1,4,4] conv2d)
<float s = {0.1}, uint8 o = {0}, int8[4,4] "blocks.0.a.weight.quantized" = {1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1},
 float "blocks.0.a.weight.scale" = {0.1}, float[4] "blocks.0.a.bias" = {1,1,1,1},
 float[4,4] "blocks.0.b.weight" = {1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1}, int64[2] shape = {1, 4},
 float[1,1,1,1] "conv.weight" = {2.0}>
{
    normed = Softmax (x)
    shaped = Reshape (normed, shape)
    q = QuantizeLinear (shaped, s, o)
    d = DequantizeLinear (q, s, o)
    w = DequantizeLinear ("blocks.0.a.weight.quantized", "blocks.0.a.weight.scale")
    product = MatMul (d, w)
    y = Add (product, "blocks.0.a.bias")
    z = MatMul (d, "blocks.0.b.weight")
    conv2d = Conv (picture, "conv.weight")
}"""
NAMES = (
    "softmax",
    "reshape",
    "blocks.0.a.input.quantized",
    "blocks.0.a.input.dequantized",
    "blocks.0.a.weight.dequantized",
    "blocks.0.a",
    "bias_add",
    "blocks.0.b",
    "conv",
)
A, B, CONV = LayerName("blocks.0.a"), LayerName("blocks.0.b"), LayerName("conv")


@pytest.fixture
def owners() -> KernelOwners:
    graph = parse_model(GRAPH).graph
    for node, name in zip(graph.node, NAMES, strict=True):
        node.name = name
    return KernelOwners(graph, [A, B, CONV])


@pytest.mark.parametrize(
    ("kernel", "op_type", "expected"),
    [
        ("blocks.0.a", "MatMulIntegerToFloat", (A,)),
        ("blocks.0.b", "MatMul", (B,)),
        ("bias_add", "Add", (A,)),
        ("blocks.0.a.weight.dequantized", "DequantizeLinear", (A,)),
        ("blocks.0.a.input.quantized", "QuantizeLinear", (A, B)),
        ("blocks.0.a.input.dequantized/duplicated_token_5", "DequantizeLinear", (A, B)),
        ("conv2d_nchwc", "Conv", (CONV,)),
        # Moved in front of the Reshape, the pair is named after what it reads there.
        ("normed_q", "QuantizeLinear", (A, B)),
        ("softmax", "Softmax", ()),
        ("reshape", "Reshape", ()),
        ("something_new", "FusedThing", ()),
        ("something_new", "QuantizeLinear", ()),
        # No layer's name, though it begins like one.
        ("conv2", "Conv", ()),
    ],
)
def test_a_kernel_belongs_to_the_layers_because_of_which_it_runs(
    owners: KernelOwners, kernel: str, op_type: str, expected: tuple[LayerName, ...]
) -> None:
    assert owners(kernel, op_type) == expected
