"""Packages of several sizes, compiled one by one, and the file of constants that they share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mixdq.compiler.cuda import build
from mixdq.compiler.cuda.build import build_package, gather_constants
from mixdq.compiler.cuda.networks import Network
from mixdq.compiler.cuda.stage import PackageOrder, PackageRecord
from mixdq.compiler.stages import Made
from mixdq.configs.bundle import Component
from mixdq.configs.documents import parse
from mixdq.configs.errors import BundleError, GraphError
from mixdq.configs.target import Target
from mixdq.export.source import SourceModel
from mixdq.runtime.cuda_engine import load_package
from mixdq.runtime.mapped_constants import map_constants


class Sized(nn.Module):
    """Needs `late` for more than four rows alone."""

    weight: Tensor
    late: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.arange(8.0).reshape(2, 4))
        self.register_buffer("late", torch.tensor([0.5]), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        result = rows @ self.weight.T
        return result * self.late if len(rows) > 4 else result


class Making(nn.Module):
    def forward(self, rows: Tensor) -> Tensor:
        return rows + torch.tensor([1.0, 2.0, 3.0, 4.0])


@pytest.fixture
def orders(emoji: SourceModel, tmp_path: Path) -> list[PackageOrder]:
    target = Target.parse("cuda:sm90")
    return [PackageOrder(Component.UNET, target, n, n, 1, emoji, tmp_path, with_ranges=False) for n in (3, 6)]


def test_packages_of_two_sizes_share_what_either_needs(
    orders: list[PackageOrder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use(monkeypatch, Sized())
    made = [build_package(_ignore, order, "cpu") for order in orders]
    records = [_record(one) for one in made]
    assert [one.files[0] for one in made] == [tmp_path / order.path for order in orders]
    assert [record.inputs[0].shape for record in records] == [(3, 4), (6, 4)]

    constants = gather_constants(_ignore, orders[0], records, "cpu")
    assert constants.files == (tmp_path / orders[0].weights, tmp_path / orders[0].tile_table)
    assert constants.value == {}, "a CPU has no memory of a GPU"
    shared = map_constants(torch, [constants.files[0]], "cpu")
    assert set(shared) == {"weight", "late"}
    for order in orders:
        rows = torch.randn(order.example, 4, generator=torch.Generator().manual_seed(0))
        package = load_package(torch, tmp_path / order.path, shared)
        assert torch.allclose(package.loader.boxed_run([rows])[0], Sized()(rows))


def test_a_tensor_that_a_network_makes_as_it_runs_is_refused(
    orders: list[PackageOrder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use(monkeypatch, Making())
    with pytest.raises(GraphError, match=r"unet-3\.cuda-sm90\.pt2 needs _tensor_constant0, .* as a buffer"):
        build_package(_ignore, orders[0], "cpu")
    assert not list(tmp_path.rglob("*.pt2"))


def _use(monkeypatch: pytest.MonkeyPatch, module: nn.Module) -> None:
    network = Network(module.eval(), lambda rows: {"rows": torch.ones(rows, 4)}, ("result",))
    monkeypatch.setattr(build, "_network", lambda *_: network)


def _record(made: Made) -> PackageRecord:
    return parse(PackageRecord, made.value, "a record", BundleError)


def _ignore(phase: str, done: int, total: int | None) -> None:
    """Nobody watches."""
