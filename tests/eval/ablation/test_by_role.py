from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mixdq.configs.layers import LayerTable, Role
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.ranges import RangeTable
from mixdq.eval.ablation.by_role import measure_by_role, role_plan
from mixdq.eval.ablation.role_rows import ByRole, RoleRow
from mixdq.export.source import SourceModel

# The smallest that the model can draw: the signs of what is found don't depend on the size.
SIDE = 32


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors: threads that wait for each other would take ten times as long where cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(emoji_folder: Path, emoji_full: Path) -> Path:
    """Holds the layers and ranges of emoji-turbo."""
    return emoji_folder / "work"


def _measure(source: SourceModel, folder: Path, path: Path) -> ByRole:
    return measure_by_role(
        source,
        LayerTable.read(folder / "layers.json"),
        RangeTable.read(folder / "ranges.json"),
        ("red apple",),
        seed=0,
        resolution=SIDE,
        header_digest="a" * 64,
        path=path,
        watch=lambda phase: lambda done, total: None,
    )


@pytest.fixture(scope="module")
def found(emoji: SourceModel, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ByRole, Path]:
    path = tmp_path_factory.mktemp("roles") / "by-role.json"
    return _measure(emoji, folder, path), path


def _row(found: ByRole, role: Role, *, bos_aware: bool) -> RoleRow:
    (row,) = (row for row in found.rows if (row.role, row.bos_aware) == (role, bos_aware))
    return row


def test_a_role_s_plan_quantizes_its_layers_alone(folder: Path) -> None:
    table = LayerTable.read(folder / "layers.json")
    plan = role_plan(table, Role.FEED_FORWARD, bos_aware=False)
    plan.check(table)
    for layer in table:
        assert plan[layer.name] == (Precision(8, 8) if layer.role is Role.FEED_FORWARD else FP16)


def test_token_0_makes_cross_attention_the_most_sensitive_role(found: tuple[ByRole, Path]) -> None:
    plain = {row.role: row for row in found[0].rows if not row.bos_aware}
    assert set(plain) == set(Role)
    assert min(plain.values(), key=lambda row: row.ssim).role is Role.CROSS_ATTENTION
    assert min(plain.values(), key=lambda row: row.sqnr_db).role is Role.CROSS_ATTENTION
    assert sum(row.layers for row in plain.values()) == 264


def test_leaving_token_0_out_mends_cross_attention_and_changes_no_other_role(
    found: tuple[ByRole, Path],
) -> None:
    for role in Role:
        plain, aware = (_row(found[0], role, bos_aware=aware) for aware in (False, True))
        if role is Role.CROSS_ATTENTION:
            assert aware.sqnr_db > plain.sqnr_db + 10
        else:
            assert (aware.sqnr_db, aware.ssim) == (plain.sqnr_db, plain.ssim)


def test_token_0_makes_activations_of_the_text_more_sensitive_than_their_weights(
    found: tuple[ByRole, Path],
) -> None:
    layers = found[0].text_layers
    assert len(layers) == 34
    assert all(layer.activation_db < layer.weight_db for layer in layers)
    assert all(layer.activation_bos_db > layer.activation_db + 10 for layer in layers)
    activations = sum(layer.activation_bos_db - layer.activation_db for layer in layers)
    assert activations > sum(layer.weight_bos_db - layer.weight_db for layer in layers)


def test_figures_of_the_same_model_and_prompts_are_read_again(
    found: tuple[ByRole, Path], emoji: SourceModel, folder: Path
) -> None:
    before = found[1].read_bytes()
    start = time.process_time()
    assert _measure(emoji, folder, found[1]) == found[0]
    assert time.process_time() - start < 1
    assert found[1].read_bytes() == before
