"""Random bit maps of emoji-turbo, made legal, build in TensorRT for RTX."""

from __future__ import annotations

import importlib.util
import random
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.graphs import write_graphs
from mixdq.compiler.legal.choices import Rules, answers
from mixdq.compiler.legal.legalize import legalize
from mixdq.compiler.legal.totals import real_totals
from mixdq.compiler.tensorrt_builder import build_tensorrt
from mixdq.compiler.worker import run_in_child
from mixdq.configs.bundle import Component
from mixdq.configs.capability import find_capability
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Layout, Target
from mixdq.export.source import SourceModel

_RESOLUTION = 128
_MAPS = 20
_OTHERS = {1: ("rtx:sm80",), 2: ("rtx:sm120",)}
"""Besides SM89, by the remainder of the seed and three; not SM75, see docs/targets.md."""
_QUICK = {(0, "rtx:sm89"), (1, "rtx:sm80")}

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT for RTX is not installed"
)


def _random_map(table: LayerTable, draw: random.Random) -> PrecisionPlan:
    """Any widths in a layer; or those of the paper's maps, some activations protected."""
    widths = draw.choice([((2, 3, 4, 5, 6, 7, 8, 16), (2, 4, 6, 8, 16)), ((2, 4, 8), (8, 8, 8, 16))])

    def precision() -> Precision:
        weight, activation = map(draw.choice, widths)
        return FP16 if weight == 16 else Precision(weight, activation)

    plan = uniform_plan(
        table, FP16, keep=(), protect=(), bos_aware=draw.random() < 0.5, split_shortcuts=draw.random() < 0.5
    )
    return replace(plan, layers={name: precision() for name in plan.layers})


def _cases() -> list[object]:
    """Each map for SM89, most for another one too; a build takes some seconds."""
    every = [(seed, target) for seed in range(_MAPS) for target in ("rtx:sm89", *_OTHERS.get(seed % 3, ()))]
    return [pytest.param(*one, marks=() if one in _QUICK else pytest.mark.full) for one in every]


@pytest.mark.parametrize(("seed", "target"), _cases())
def test_a_random_bit_map_is_made_legal_and_builds(
    seed: int, target: str, emoji: SourceModel, emoji_w8a8: Path, tmp_path: Path
) -> None:
    draw = random.Random(seed)
    work, table = emoji_w8a8.parent / "work", LayerTable.read(emoji_w8a8 / "layers.json")
    wish = _random_map(table, draw)
    rules = Rules(find_capability(target), draw.choice((None, 32, 64, 128)), unwritten=False)
    made = legalize(wish, table, rules)
    assert made.changes
    forms = made.plan.realization.forms if made.plan.realization is not None else {}
    assert all(answers(forms[layer.name], wish[layer.name]) for layer in table)
    files = write_graphs(
        skeleton=work / "source" / "unet.onnx",
        reader=emoji.weights["unet"].open(),
        component=Component.UNET,
        out=tmp_path,
        dialect=Target.parse(target).dialect,
        layout=Layout.PER_RESOLUTION,
        resolutions=(_RESOLUTION,),
        batch=1,
        table=table,
        plan=made.plan,
        ranges=RangeTable.read(emoji_w8a8 / "ranges.json"),
        report=lambda phase, done, total: None,
    )[_RESOLUTION]
    engine = tmp_path / "unet.engine"
    options = BuildOptions(timing_cache=None, strip_weights=False)
    run_in_child(build_tensorrt, Target.parse(target), files.graph, engine, files.inputs, (), options)
    stored = real_totals(made.plan, table, _RESOLUTION, rules.capability.table.float_bytes).bytes
    assert engine.stat().st_size > stored
