from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import PIL
import pytest
import torch

from mixdq.configs.errors import EvaluationError, MachineError
from mixdq.eval.quality import features
from mixdq.eval.quality.features import CACHE_FOLDER, extract
from mixdq.eval.quality.networks import FeatureNetwork, Resize
from mixdq.eval.quality.pictures import open_reference
from mixdq.eval.quality.resize import unresized

from .conftest import SetMaker


class _Means(torch.nn.Module):
    """Each channel's mean; counts the pictures that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.seen += len(pixels)
        return pixels.mean(dim=(2, 3))


def _network(module: torch.nn.Module) -> FeatureNetwork:
    return FeatureNetwork("-Means", "5" * 64, Resize.INSIDE, "cpu", unresized, module)


def _cut(content: bytes) -> bytes:
    return content[:-9]


def _flip_a_number(content: bytes) -> bytes:
    # The lowest byte of the last number, before the digest: numpy reads it without a word.
    return content[:-36] + bytes([content[-36] ^ 255]) + content[-35:]


def _quiet(done: int, total: int) -> None:
    pass


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_BLOCK", 4)


def test_each_picture_has_its_own_row(make_set: SetMaker) -> None:
    drawn = open_reference(make_set("set", 7))
    found = extract(_network(_Means()), drawn, None, 3, _quiet)
    expected = [np.asarray(drawn.load(place)).mean(axis=(0, 1)) for place in range(7)]
    assert np.allclose(found, expected, atol=1e-3)


def test_what_is_kept_is_not_computed_again(make_set: SetMaker) -> None:
    folder = make_set("set", 7)
    first, second = _Means(), _Means()
    before = extract(_network(first), open_reference(folder), None, 3, _quiet)
    after = extract(_network(second), open_reference(folder), None, 3, _quiet)
    assert (first.seen, second.seen) == (7, 0)
    assert np.array_equal(before, after)
    assert len(list((folder / CACHE_FOLDER).iterdir())) == 1


def test_other_weights_resizing_or_devices_are_not_mixed_up(make_set: SetMaker, tmp_path: Path) -> None:
    drawn, module = open_reference(make_set("set", 3)), _Means()
    network = _network(module)
    extract(network, drawn, tmp_path / "cache", 3, _quiet)
    for other in (replace(network, sha256="6" * 64), replace(network, resize=Resize.CLEAN)):
        extract(other, drawn, tmp_path / "cache", 3, _quiet)
    assert module.seen == 9


@pytest.mark.parametrize("package", [torch, np, PIL])
def test_other_versions_and_batches_are_not_mixed_up(
    make_set: SetMaker, monkeypatch: pytest.MonkeyPatch, package: ModuleType
) -> None:
    drawn, module = open_reference(make_set("set", 4)), _Means()
    extract(_network(module), drawn, None, 4, _quiet)
    extract(_network(module), drawn, None, 2, _quiet)
    assert module.seen == 8
    monkeypatch.setattr(package, "__version__", "0.0")
    extract(_network(module), drawn, None, 4, _quiet)
    assert module.seen == 12


@pytest.mark.usefixtures("small_blocks")
def test_a_stopped_run_loses_one_block_at_most(make_set: SetMaker) -> None:
    drawn = open_reference(make_set("set", 10))
    sixth = torch.from_numpy(unresized(drawn.load(5)))

    class Stopping(_Means):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            if any(torch.equal(one, sixth) for one in pixels):
                raise KeyboardInterrupt
            return super().forward(pixels)

    with pytest.raises(KeyboardInterrupt):
        extract(_network(Stopping()), drawn, None, 2, _quiet)
    rest = _Means()
    resumed = extract(_network(rest), drawn, None, 2, _quiet)
    assert rest.seen == 6  # the blocks of 4 and 2 after the first of 4
    assert np.array_equal(resumed, extract(_network(_Means()), drawn, drawn.folder / "anew", 2, _quiet))


@pytest.mark.usefixtures("small_blocks")
def test_a_changed_picture_is_computed_anew_with_its_block_alone(make_set: SetMaker, tmp_path: Path) -> None:
    module = _Means()
    extract(_network(module), open_reference(make_set("set", 8)), tmp_path / "cache", 4, _quiet)
    changed = make_set("changed", 8, seeds=range(8))
    assert open_reference(changed).digests == open_reference(tmp_path / "set").digests
    extract(_network(module), open_reference(changed), tmp_path / "cache", 4, _quiet)
    assert module.seen == 8
    (changed / "manifest.json").unlink()
    (changed / "0000.png").write_bytes((changed / "0007.png").read_bytes())
    extract(_network(module), open_reference(changed), tmp_path / "cache", 4, _quiet)
    assert module.seen == 12


@pytest.mark.parametrize("damage", [_cut, _flip_a_number])
def test_a_damaged_file_of_the_cache_is_computed_again(
    make_set: SetMaker, damage: Callable[[bytes], bytes]
) -> None:
    folder = make_set("set", 5)
    before = extract(_network(_Means()), open_reference(folder), None, 5, _quiet)
    (kept,) = (folder / CACHE_FOLDER).iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    again = _Means()
    assert np.array_equal(before, extract(_network(again), open_reference(folder), None, 5, _quiet))
    assert again.seen == 5


def test_all_damaged_photographs_are_named_at_once(make_photographs: SetMaker) -> None:
    folder = make_photographs("photos", 6)
    for name in ("1.png", "4.png"):
        (folder / name).write_bytes(b"\x89PNG no more")
    with pytest.raises(EvaluationError, match=r"1\.png can't be decoded.*4\.png can't be decoded"):
        extract(_network(_Means()), open_reference(folder), None, 2, _quiet)
    assert not (folder / CACHE_FOLDER).exists()


def test_features_that_are_not_finite_are_refused(make_set: SetMaker) -> None:
    class Broken(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.mean(dim=(2, 3)) / 0

    with pytest.raises(EvaluationError, match="are not finite"):
        extract(_network(Broken()), open_reference(make_set("set", 3)), None, 3, _quiet)


def test_memory_that_runs_out_asks_for_a_smaller_batch(make_set: SetMaker) -> None:
    class Hungry(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.empty(2**46) + pixels.mean()

    with pytest.raises(MachineError, match="a batch smaller than 3"):
        extract(_network(Hungry()), open_reference(make_set("set", 3)), None, 3, _quiet)
