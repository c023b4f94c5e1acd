"""The files that ship under `configs/search`: each is of the model it lies by, and holds what it says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from mixdq.compiler.recipe import ascending
from mixdq.compiler.searched_plan import ShippedSearch, why_no_search
from mixdq.compiler.torch_stages import find_layers
from mixdq.configs.layers import LayerTable
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.sensitivity import SensitivityTable
from mixdq.configs.target import Target
from mixdq.export.source import SourceModel, open_source

SEARCH = Path(str(files("mixdq.configs"))) / "search" / "emoji-turbo"
NAME = re.compile(r"w(\d+(?:\.\d+)?)a(\d+(?:\.\d+)?)")


@pytest.fixture(scope="module")
def table() -> LayerTable:
    return LayerTable.read(SEARCH / "layers.json")


def test_the_layers_are_those_of_the_model(table: LayerTable, emoji: SourceModel) -> None:
    assert find_layers(lambda *_: None, emoji, ascending(emoji.resolutions)) == table


def test_the_sensitivities_are_of_these_weights_and_complete(table: LayerTable, emoji: SourceModel) -> None:
    SensitivityTable.read(SEARCH / "sensitivity.json").check(table)
    assert table.model == emoji.identity
    assert ShippedSearch.of(emoji.identity) is not None


@pytest.mark.parametrize(
    "change", [{"scheduler": "lcm"}, {"weights": "synthetic"}, {"vae_precision": "bfloat16"}]
)
def test_the_search_is_not_that_of_the_model_with_another_part(change: Mapping[str, str]) -> None:
    other = open_source(replace(ModelChoice("emoji-turbo"), **change))  # type: ignore[arg-type]
    assert ShippedSearch.of(other.identity) is None
    assert why_no_search(other.identity).startswith(
        "the search that ships for emoji-turbo is of other weights"
    )


def test_any_mean_is_solved_from_the_shipped_table(table: LayerTable) -> None:
    search = ShippedSearch.of(table.model)
    assert search is not None
    cpu = (Target.parse("cpu"),)
    for weight, activation in ((5.3, 8.0), (4.0, 16.0), (3.4, 8.0)):
        plan = search.plan(weight, activation, cpu).plan
        assert isinstance(plan, PrecisionPlan)
        plan.check(table)
        cpu[0].check(plan)
        assert weight - 0.01 <= plan.mean_bits(table)[0] <= weight


def test_every_plan_has_the_means_that_its_name_says_and_runs_on_a_cpu(table: LayerTable) -> None:
    """A mean is kept to a twentieth of a bit; the activation's is of the layers that are quantized."""
    for path in sorted((SEARCH / "plans").glob("*")):
        match = NAME.fullmatch(path.stem)
        assert match is not None, path
        assert path.suffix == ".yaml"
        plan = PrecisionPlan.read(path)
        plan.check(table)
        assert plan.model_digest == table.model.digest
        Target.parse("cpu").check(plan)
        weight, activation = map(float, match.groups())
        assert weight - 0.05 <= plan.mean_bits(table)[0] <= weight
        widths = {p.activation_bits for p in plan.layers.values() if p.quantizes_activation}
        assert widths == (set() if activation == 16 else {int(activation)}), path
