from __future__ import annotations

from pathlib import Path

import pytest

from mixdq.configs import shipped_search
from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.shipped_search import (
    plan_name,
    shipped_layers,
    shipped_layers_by_digest,
    shipped_plan,
    shipped_sensitivity,
)


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a search that ships for a model called `little`."""
    folder = tmp_path / "search" / "little"
    (folder / "plans").mkdir(parents=True)
    monkeypatch.setattr(shipped_search, "_PACKAGE", tmp_path)
    return folder


@pytest.mark.parametrize("model", ["little", "./folder/little", "somebody/little"])
def test_a_search_is_found_by_the_last_part_of_a_models_name(search: Path, model: str) -> None:
    table, layers, plan = search / "sensitivity.json", search / "layers.json", search / "plans/w3.66a16.yaml"
    for path in (table, layers, plan):
        path.write_text("")
    assert shipped_sensitivity(model) == table
    assert shipped_layers(model) == layers
    assert shipped_plan(model, 3.66, 16) == plan


def test_what_does_not_ship_is_none(search: Path) -> None:
    (search / "plans" / "w5a8.yaml").write_text("")
    assert shipped_plan("little", 5, 8) == search / "plans" / "w5a8.yaml"
    assert shipped_plan("little", 5.0001, 8) is None
    assert shipped_plan("little", 8, 5) is None
    assert shipped_sensitivity("little") is None
    assert shipped_layers("little") is None
    assert shipped_sensitivity("another") is None
    assert shipped_plan("another", 5, 8) is None


def test_layers_are_found_by_their_digest(search: Path) -> None:
    (other := search.parent / "another").mkdir()
    tables = [
        LayerTable(
            ModelIdentity(folder.name, "a" * 64),
            (LayerSpec(LayerName("conv_in"), Kind.LINEAR, (4, inputs), True, None, {64: 4 * inputs}),),
        )
        for inputs, folder in ((3, search), (5, other))
    ]
    tables[0].write(search / "layers.json")
    tables[1].write(other / "layers.json")
    assert shipped_layers_by_digest(tables[0].digest) == search / "layers.json"
    assert shipped_layers_by_digest(tables[1].digest) == other / "layers.json"
    assert shipped_layers_by_digest("0" * 64) is None


def test_the_name_of_a_plan_says_its_means_in_as_few_digits_as_they_have() -> None:
    assert plan_name(5.0, 8) == "w5a8"
    assert plan_name(3.66, 16.0) == "w3.66a16"
