"""Against scipy's matrix root, and a polynomial MMD that is written out."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.linalg import sqrtm

from mixdq.configs.errors import EvaluationError
from mixdq.eval.quality.comparing_sets import control_of_self
from mixdq.eval.quality.distances import fid, kid, spread
from mixdq.eval.quality.features import extract
from mixdq.eval.quality.inception import load_inception
from mixdq.eval.quality.networks import Resize, open_inception
from mixdq.eval.quality.pictures import open_drawn

from .conftest import SetMaker

Array = npt.NDArray[np.float64]


def _features(count: int, width: int, seed: int, scale: float = 1.0) -> Array:
    random = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(width, width)) / width**0.5
    return np.asarray(np.abs(scale * random.normal(size=(count, width)) @ mix))


def _fid_by_scipy(first: Array, second: Array) -> float:
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    cross = np.trace(sqrtm(covariances[0] @ covariances[1])).real
    shift = np.sum((first.mean(axis=0) - second.mean(axis=0)) ** 2)
    return float(shift + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * cross)


def _kid_by_hand(first: Array, second: Array) -> float:
    def kernel(a: Array, b: Array) -> Array:
        values: Array = (a @ b.T / a.shape[1] + 1) ** 3
        return values

    def off_diagonal_mean(values: Array) -> float:
        count = len(values)
        return float((values.sum() - np.trace(values)) / (count * (count - 1)))

    within = off_diagonal_mean(kernel(first, first)) + off_diagonal_mean(kernel(second, second))
    return within - 2 * float(kernel(first, second).mean())


@pytest.mark.parametrize(("count", "width"), [(300, 40), (64, 40), (25, 40)])
def test_fid_agrees_with_the_matrix_root_of_scipy(count: int, width: int) -> None:
    first, second = _features(count, width, 1), _features(count + 7, width, 2, scale=1.3)
    assert fid(first, second) == pytest.approx(_fid_by_scipy(first, second), abs=1e-4)


def test_fid_of_shifted_features_is_the_squared_shift() -> None:
    features = _features(50, 8, 5)
    assert fid(features, features + 0.5) == pytest.approx(8 * 0.25, abs=1e-6)


def test_fid_of_features_with_themselves_is_zero_in_any_order() -> None:
    features = _features(60, 100, 6)
    shuffled = features[np.random.default_rng(0).permutation(60)]
    assert abs(fid(features, shuffled)) < 1e-6 * spread(features)


def test_fid_is_symmetric() -> None:
    first, second = _features(30, 20, 7), _features(41, 20, 8)
    assert fid(first, second) == pytest.approx(fid(second, first), abs=1e-6)


def test_kid_agrees_with_the_unbiased_mmd() -> None:
    first, second = _features(70, 32, 9), _features(70, 32, 10, scale=1.2)
    assert kid(first, second) == pytest.approx(_kid_by_hand(first, second), abs=1e-9)


def test_kid_of_unequal_sets_is_that_of_all_on_average_and_the_same_every_time() -> None:
    first, second = _features(400, 8, 13), _features(90, 8, 14, scale=1.5)
    assert kid(first, second) == kid(first, second)
    assert kid(first, second) == pytest.approx(_kid_by_hand(first, second), rel=0.1)


def test_one_picture_has_no_covariance() -> None:
    one, many = _features(1, 4, 0), _features(9, 4, 1)
    with pytest.raises(EvaluationError, match="at least two pictures"):
        fid(many, one)
    with pytest.raises(EvaluationError, match="at least two pictures"):
        kid(one, many)


def test_the_control_passes_for_features_and_says_what_it_found() -> None:
    control = control_of_self("FID", "set", _features(20, 30, 0))
    assert control.passed
    assert "expected 0 within" in control.means


def test_the_rounding_of_many_features_of_few_pictures_is_no_fault() -> None:
    random = np.random.default_rng(0)
    assert control_of_self("FID", "set", np.abs(random.normal(size=(2, 300)))).passed


def test_the_whole_way_from_pictures_agrees_with_statistics_in_numpy(
    make_set: SetMaker, seeded_inception: Path, tmp_path: Path
) -> None:
    network = open_inception(seeded_inception, Resize.CLEAN, "cpu")
    first, second = open_drawn(make_set("first", 30)), open_drawn(make_set("second", 30, noise=25))
    ours = [extract(network, one, tmp_path / "cache", 7, lambda done, total: None) for one in (first, second)]
    # The seeded weights once more, from pictures that are resized and scaled here.
    network_of_file = load_inception(seeded_inception, "cpu")[0]
    layers = dict(network_of_file.named_children())["layers"]
    theirs = []
    for drawn in (first, second):
        rows = []
        for place in range(30):
            channels = [
                np.asarray(channel.convert("F").resize((299, 299), 3)).clip(0, 255)
                for channel in drawn.load(place).split()
            ]
            rows.append(layers(torch.from_numpy((np.stack(channels)[None] - 128) / 128)).numpy(force=True)[0])
        theirs.append(np.array(rows, dtype=np.float64))
    assert fid(*ours) == pytest.approx(_fid_by_scipy(*theirs), abs=1e-3)
    assert fid(*ours) > 0.05
    assert kid(ours[0], ours[1]) == pytest.approx(_kid_by_hand(*theirs), abs=1e-3)
