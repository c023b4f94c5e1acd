"""What the demo compiles: with a search that ships (emoji-turbo's layers, drawn scores), and without one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mixdq.compiler.recipe import Uniform
from mixdq.configs import shipped_search
from mixdq.configs.layers import Group, LayerTable, ModelIdentity
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.sensitivity import Metric, Operand, SensitivityTable
from mixdq.eval.variants import Variants


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LayerTable:
    """The layers of a model whose search ships: sensitivities, and a plan of W4A8."""
    path = shipped_search.shipped_layers("emoji-turbo")
    assert path is not None
    table = LayerTable.read(path)
    monkeypatch.setattr(shipped_search, "_PACKAGE", tmp_path)
    folder = tmp_path / "search" / "emoji-turbo"
    (folder / "plans").mkdir(parents=True)
    table.write(folder / "layers.json")
    draw = random.Random(0)
    content = [layer.name for layer in table if layer.group is Group.CONTENT]
    metrics = {
        Metric.SQNR: {layer.name: (5.0, 20.0, draw.uniform(30, 60)) for layer in table},
        Metric.SSIM: {name: (0.5, 0.8, draw.uniform(0.9, 1)) for name in content},
    }
    widths = dict.fromkeys(Operand, (2, 4, 8))
    scores = dict.fromkeys(Operand, metrics)
    SensitivityTable(table.model, table.digest, None, widths, scores).write(folder / "sensitivity.json")
    plan = PrecisionPlan(
        layers_digest=table.digest,
        model_digest=table.model.digest,
        bos_aware=True,
        split_shortcuts=True,
        layers={layer.name: Precision(4, 8) for layer in table},
    )
    plan.write(folder / "plans" / "w4a8.yaml")
    return table


def test_where_a_search_ships_its_plans_stand_beside_the_uniform_one(table: LayerTable) -> None:
    found = Variants.of(table.model)
    full, no_bos, eight, uniform, four = found.ways
    assert [way.name for way in found.ways] == [
        "full precision",
        "W8A8, no BOS",
        "W8A8, MixDQ",
        "W4A8, uniform",
        "W4A8, MixDQ",
    ]
    assert len({way.folder for way in found.ways}) == 5
    assert [way.folder for way in found.ways if way.for_rtx] == ["full", "mixdq"]
    assert isinstance(full.chosen.plan, Uniform)
    assert full.chosen.plan.precision == FP16
    assert isinstance(eight.chosen.plan, PrecisionPlan)
    assert eight.chosen.words.startswith("w8a8 by the shipped sensitivities")
    assert isinstance(no_bos.chosen.plan, PrecisionPlan)
    assert no_bos.chosen.plan.layers == eight.chosen.plan.layers
    assert (no_bos.chosen.plan.bos_aware, eight.chosen.plan.bos_aware) == (False, True)
    assert no_bos.chosen.words.endswith(", but not BOS-aware")
    assert isinstance(uniform.chosen.plan, Uniform)
    assert uniform.chosen.plan.precision == Precision(4, 8)
    assert uniform.chosen.plan.protect == ("conv_in", "conv_out")
    assert four.chosen.words == "shipped w4a8, means 4.00/8.00, 0 of 264 activations in FP16"
    assert "by the search that ships" in found.note


@pytest.mark.parametrize("name", ["another", "emoji-turbo"])
def test_a_model_without_a_search_is_shown_with_uniform_plans_and_why(name: str, table: LayerTable) -> None:
    found = Variants.of(ModelIdentity(name, "1" * 64))
    assert [way.name for way in found.ways] == [
        "full precision",
        "W8A8, no BOS",
        "W8A8, uniform",
        "W4A8, uniform",
    ]
    assert all(isinstance(way.chosen.plan, Uniform) for way in found.ways)
    assert "All plans are uniform: " in found.note
    wanted = "no search ships for another" if name == "another" else "is of other weights"
    assert wanted in found.note
