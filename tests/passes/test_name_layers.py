from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir
import pytest

from mixdq.configs.layers import LayerTable
from mixdq.passes.errors import GraphFormError
from mixdq.passes.name_layers import NameLayersPass

MakeTable = Callable[..., LayerTable]

_TEXT = """<ir_version: 10, opset_import: ["" : 20]>
g (float[1,2] x) => (float[1,2] y)
<float[2,2] val_1 = {1,2,3,4}, float[2] val_2 = {5,6}, float[2,2] val_3 = {1,0,0,1}, float[2] val_4 = {7,8}> {
    [node_1] a = MatMul (x, val_1)
    [node_2] b = Add (a, val_2)
    [node_3] c = MatMul (b, x_t)
    [node_4] y = Gemm (c, val_3, val_4)
}"""


def _graph() -> ir.Model:
    model = ir.from_onnx_text(_TEXT.replace("(b, x_t)", "(b, b)").replace("float[1,2]", "float[2,2]"))
    _scope(model, "node_1", "proj.to_q")
    _scope(model, "node_3", "proj")
    _scope(model, "node_4", "proj.out")
    return model


def _scope(model: ir.Model, node_name: str, path: str) -> None:
    node = next(node for node in model.graph if node.name == node_name)
    parts = path.split(".")
    scopes = ["", *(f"unet.{'.'.join(parts[: i + 1])}" for i in range(len(parts))), "linear"]
    node.metadata_props["pkg.torch.onnx.name_scopes"] = str(scopes)


@pytest.fixture
def table(make_table: MakeTable) -> LayerTable:
    return make_table({"proj.to_q": (2, 2), "proj.out": (2, 2)})


def test_nodes_and_constants_take_their_modules_names(table: LayerTable) -> None:
    model = _graph()
    assert NameLayersPass(table)(model).modified
    assert [node.name for node in model.graph] == ["proj.to_q", "node_2", "node_3", "proj.out"]
    assert sorted(model.graph.initializers) == [
        "proj.out.bias",
        "proj.out.weight",
        "proj.to_q.bias",
        "proj.to_q.weight",
    ]
    weight = model.graph.initializers["proj.to_q.weight"].const_value
    assert weight is not None
    assert weight.numpy().tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_a_constant_that_has_a_layers_name_already_is_refused(table: LayerTable, part: str) -> None:
    model = _graph()
    model.graph.register_initializer(
        ir.Value(name=f"proj.out.{part}", const_value=ir.tensor([1.0], name=f"proj.out.{part}"))
    )
    with pytest.raises(GraphFormError, match=rf"has another constant named proj\.out\.{part}"):
        NameLayersPass(table)(model)


def test_a_named_graph_is_not_modified_again(table: LayerTable) -> None:
    model = _graph()
    NameLayersPass(table)(model)
    assert not NameLayersPass(table)(model).modified


def test_a_graph_whose_metadata_was_cleared_is_known_by_its_names(table: LayerTable) -> None:
    model = _graph()
    NameLayersPass(table)(model)
    for node in model.graph:
        node.metadata_props.clear()
    assert not NameLayersPass(table)(model).modified


def test_naming_only_a_weight_is_a_modification(table: LayerTable) -> None:
    model = _graph()
    NameLayersPass(table)(model)
    model.graph.initializers["proj.to_q.weight"].name = "val_1"
    assert NameLayersPass(table)(model).modified
    assert "proj.to_q.weight" in model.graph.initializers


def test_an_attention_product_in_a_layers_scope_is_no_layer(table: LayerTable) -> None:
    model = _graph()
    _scope(model, "node_3", "proj.out")  # no constant weight
    NameLayersPass(table)(model)
    assert [node.name for node in model.graph][2] == "node_3"


def test_a_layer_without_a_node_is_refused(make_table: MakeTable) -> None:
    table = make_table({"proj.to_q": (2, 2), "proj.to_k": (2, 2), "proj.out": (2, 2)})
    with pytest.raises(
        GraphFormError, match=r"no node for proj\.to_k \(of 1 layers\).*export the model again"
    ):
        NameLayersPass(table)(_graph())


def test_two_nodes_of_one_layer_are_refused(table: LayerTable) -> None:
    model = _graph()
    _scope(model, "node_4", "proj.to_q")
    with pytest.raises(GraphFormError, match=r"two nodes of the graph claim to be proj\.to_q"):
        NameLayersPass(table)(model)
