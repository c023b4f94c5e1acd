"""Parts of a model: by pattern, and evenly spread."""

import pytest

from mixdq.compiler.sensitivity.selection import select
from mixdq.configs.errors import RequestError
from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable, ModelIdentity


def _table(*names: str) -> LayerTable:
    layers = tuple(LayerSpec(LayerName(name), Kind.LINEAR, (4, 4), True, None, {}) for name in names)
    return LayerTable(ModelIdentity("model", "0"), layers)


TABLE = _table("in", *(f"block.{number}.{kind}" for number in range(5) for kind in ("attn2", "ff")), "out")


def _names(patterns: tuple[str, ...], sample: int | None) -> list[str]:
    return [layer.name for layer in select(TABLE, patterns, sample)]


def test_all_layers_in_the_table_s_order() -> None:
    assert _names((), None) == [layer.name for layer in TABLE]


def test_patterns_add_up_in_the_table_s_order() -> None:
    assert _names(("out", "*.3.*", "block.3.ff"), None) == ["block.3.attn2", "block.3.ff", "out"]


def test_a_pattern_without_a_layer_is_named() -> None:
    with pytest.raises(RequestError, match=r"--layers 'mid\*' matches none of the 12 layers of model"):
        _names(("in", "mid*"), None)


def test_a_sample_comes_from_the_middles_of_equal_stretches() -> None:
    assert _names((), 3) == ["block.0.ff", "block.2.ff", "block.4.ff"]
    assert _names(("*.ff",), 1) == ["block.2.ff"]


def test_a_sample_of_more_than_there_are_is_all() -> None:
    assert len(_names((), 40)) == 12
    assert len(_names((), 12)) == 12
