"""Ratios of signal to noise, by hand."""

import numpy as np
import pytest

from mixdq.configs.sqnr import psnr_db, sqnr_db


def test_the_ratios_are_those_worked_out_by_hand() -> None:
    one, other = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 51, np.uint8)
    assert psnr_db(one, other, peak=255) == pytest.approx(20 * np.log10(5))
    assert psnr_db(one / 255, other / 255, peak=1) == pytest.approx(20 * np.log10(5))
    assert sqnr_db(np.array([3.0, 4.0]), np.array([3.0, 5.0])) == pytest.approx(10 * np.log10(34))


def test_equal_arrays_have_the_greatest_ratios() -> None:
    one = np.ones(3)
    assert psnr_db(one, one, peak=1) == 120
    assert sqnr_db(one, one) == 200
