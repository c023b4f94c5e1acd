"""The text encoders' BOS row against the one that the engines' constants came from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mixdq.configs.bundle import Bundle
from mixdq.configs.documents import to_json
from mixdq.configs.errors import BundleError, DigestError
from mixdq.configs.files import write_text
from mixdq.configs.layers import LayerName
from mixdq.configs.ranges import CalibrationRun, Range, RangeTable
from mixdq.runtime.loading import load
from mixdq.runtime.work.bos import check_bos

Calibrate = Callable[[list[float]], Path]


@pytest.fixture
def calibrate(tiny_bundle: Path) -> Calibrate:
    """The bundle with a row that was calibrated; its encoders give 25.6 in all five places."""

    def write(row: list[float]) -> Path:
        bundle = Bundle.read(tiny_bundle)
        ranges = RangeTable(
            model=bundle.model,
            layers_digest=bundle.layers_digest,
            calibration=CalibrationRun(1, "4" * 64, 0, (16,)),
            bos=tuple(row),
            bos_change=0.0,
            bos_range=Range(min(row), max(row)),
            layers={LayerName("conv"): (Range(0.0, 1.0),)},
        )
        write_text(tiny_bundle / "ranges.json", to_json(ranges))
        digest = hashlib.sha256(np.asarray(row, dtype="<f4").tobytes()).hexdigest()
        pipeline = replace(bundle.pipeline, bos_digest=digest)
        replace(bundle, pipeline=pipeline, ranges_digest=ranges.digest).write(tiny_bundle)
        return tiny_bundle

    return write


def _check(folder: Path) -> None:
    with load(folder) as pipeline:
        check_bos(pipeline, folder)


def test_the_row_that_was_calibrated_is_accepted_up_to_rounding(calibrate: Calibrate) -> None:
    _check(calibrate([25.6] * 5))
    _check(calibrate([25.6, 25.6, 25.7, 25.5, 25.6]))


def test_another_row_is_refused(calibrate: Calibrate) -> None:
    with pytest.raises(BundleError, match=r"another BOS row .* differs by 2\.4 % at position 3"):
        _check(calibrate([25.6, 25.6, 25.6, 24.4, 25.6]))


def test_an_outlier_hides_no_other_value(calibrate: Calibrate) -> None:
    with pytest.raises(BundleError, match="at position 0"):
        _check(calibrate([2000.0, 25.6, 25.6, 25.6, 25.6]))
    with pytest.raises(BundleError, match="at position 1"):
        _check(calibrate([25.6, 20.0, 25.6, 25.6, 25.6]))


def test_ranges_of_another_bundle_are_refused(calibrate: Calibrate) -> None:
    folder = calibrate([25.6] * 5)
    path = folder / "ranges.json"
    path.write_text(path.read_text().replace("25.6", "25.5", 1))
    with pytest.raises(DigestError, match="was changed, or belongs to another bundle"):
        _check(folder)
    path.unlink()
    with pytest.raises(BundleError, match=r"ranges\.json is missing"):
        _check(folder)


def test_a_bundle_without_ranges_has_no_such_constants(tiny_bundle: Path) -> None:
    _check(tiny_bundle)
