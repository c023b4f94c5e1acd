"""Graphs of a few lines to lint, and small bundles to lint them in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import onnx_ir as ir
import pytest
from onnx.parser import parse_model

from mixdq.compiler.lint.finding import Finding
from mixdq.compiler.lint.subject import Planned, Subject
from mixdq.configs.bundle import Bundle, Component, FileRecord
from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import Precision
from mixdq.configs.target import Dialect

Rule = Callable[[Subject], Iterator[Finding]]
Look = Callable[..., list[tuple[str, str]]]


def plan_of(**precisions: str) -> Planned:
    """A plan with these layers, all linear and 2 x 2."""
    layers = tuple(
        LayerSpec(LayerName(name), Kind.LINEAR, (2, 2), has_bias=False, split=None, macs={})
        for name in precisions
    )
    table = LayerTable(ModelIdentity("tiny", "0" * 64), layers)
    chosen = {LayerName(name): Precision.parse(text) for name, text in precisions.items()}
    return Planned(PrecisionPlan(table.digest, None, False, False, chosen), table)


@pytest.fixture
def planned() -> Callable[..., Planned]:
    """See `plan_of`."""
    return plan_of


@pytest.fixture
def look() -> Look:
    """Applies one rule to a graph in ONNX text: where and what it found."""

    def run(
        rule: Rule, text: str, dialect: Dialect = Dialect.TENSORRT, planned: Planned | None = None
    ) -> list[tuple[str, str]]:
        graph = ir.from_onnx_text(f'<ir_version: 10, opset_import: ["" : 21]>\n{text}').graph
        subject = Subject("unet.onnx", graph, dialect, planned)
        return [(finding.where, finding.found) for finding in rule(subject)]

    return run


_HEADER = '<ir_version: 10, opset_import: ["" : 21]>'
# p: W8A8 in TensorRT's form, its weight in a file beside the graph. ONNX text gives FP16 as its bits.
GRAPH = f"""{_HEADER} g (float16[2,2] x) => (float16[2,2] y)
<float16[2] sw = {{15360, 15360}}, float16 s = {{14336}}, int8 z = {{0}},
 int8[2,2] w = ["location": "unet.weights", "offset": "0", "length": "4"]> {{
    ["q"] q = QuantizeLinear (x, s, z)
    ["d"] d = DequantizeLinear (q, s, z)
    ["dp"] dp = DequantizeLinear <axis = 1> (w, sw)
    ["p"] y = MatMul (d, dp)
}}"""


@dataclass(frozen=True)
class Folder:
    """A bundle's folder, and how to put other graphs into it as if it had been built so."""

    root: Path
    graph: str = "onnx/tensorrt/unet-16.onnx"

    def put(self, text: str) -> None:
        """Writes the UNet's graph at 16 pixels and records it."""
        path = self.root / self.graph
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(parse_model(text).SerializeToString())
        weights = path.with_name("unet.weights")
        weights.write_bytes(bytes([1, 2, 3, 4]))
        files = [asdict(FileRecord.of(self.root, file)) for file in (path, weights)]
        stage = {"name": "graphs unet tensorrt", "key": "k", "files": files, "value": None}
        stages = [stage | {"seconds": 1.0, "peak_mib": None}]
        (self.root / "stages.json").write_text(json.dumps({"stages": stages, "version": 1}))


@pytest.fixture
def folder(tiny_bundle: Path) -> Folder:
    """A bundle with one layer, `p`, planned W8A8, and one engine, of the UNet for RTX."""
    planned = plan_of(p="W8A8")
    planned.plan.write(tiny_bundle / "plan.yaml")
    planned.table.write(tiny_bundle / "layers.json")
    bundle = Bundle.read(tiny_bundle)
    path = tiny_bundle / "engines" / "unet-16.rtx-sm89.engine"
    path.parent.mkdir()
    path.write_bytes(b"engine")
    engine = replace(
        bundle.find(Component.UNET, "cpu", 16), target="rtx:sm89", file=FileRecord.of(tiny_bundle, path)
    )
    replace(
        bundle,
        engines=(engine,),
        plan_digest=planned.plan.digest,
        layers_digest=planned.table.digest,
    ).write(tiny_bundle)
    made = Folder(tiny_bundle)
    made.put(GRAPH)
    return made


@pytest.fixture
def graph_text() -> str:
    """The graph of `folder`, which breaks no rule."""
    return GRAPH
