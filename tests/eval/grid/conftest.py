"""Two tiny bundles, full precision and a plan of eight bits, with all that a grid reads of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from mixdq.configs.bundle import Bundle, Component, FileRecord
from mixdq.configs.console import run_app
from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import FP16, Precision
from mixdq.eval.cli import app

from ...conftest import make_bundle

Run = Callable[..., tuple[int, str, str]]
MakeBundle = Callable[[str, Precision], Path]


@pytest.fixture
def make(tmp_path: Path) -> MakeBundle:
    """Makes a bundle of 16 and 24 pixels, by its name and the precision of its one layer."""

    def make(name: str, precision: Precision) -> Path:
        root = tmp_path / name
        root.mkdir()
        bundle = make_bundle(root)
        layer = LayerSpec(LayerName("conv_in"), Kind.CONVOLUTION, (4, 4, 3, 3), False, None, {16: 576})
        table = LayerTable(bundle.model, (layer,))
        plan = uniform_plan(table, precision, keep=(), protect=(), bos_aware=False, split_shortcuts=False)
        table.write(root / "layers.json")
        plan.write(root / "plan.yaml")
        _write(root, replace(bundle, layers_digest=table.digest), plan, str(precision))
        return root

    return make


def _write(root: Path, bundle: Bundle, plan: PrecisionPlan, words: str) -> None:
    """The bundle of a plan: its UNets say which, so that their files differ."""
    engines = []
    for engine in bundle.engines:
        if engine.component is Component.UNET:
            path = root / engine.file.path
            graph = onnx.load(path)
            graph.doc_string = words
            onnx.save(graph, path)
            engine = replace(engine, file=FileRecord.of(root, path))
        engines.append(engine)
    replace(bundle, plan_digest=plan.digest, plan_summary=words, engines=tuple(engines)).write(root)


@pytest.fixture
def full(make: MakeBundle) -> Path:
    """Full precision."""
    return make("full", FP16)


@pytest.fixture
def w8a8(make: MakeBundle) -> Path:
    """Eight bits."""
    return make("w8a8", Precision(8, 8))


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Exit code, output and errors of `mixdq-eval`."""
    monkeypatch.setenv("COLUMNS", "250")

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run_app(app, [str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run
