import numpy as np
import pytest
from PIL import Image

from mixdq.configs.errors import RequestError
from mixdq.eval.similarity import IDENTICAL_DB, psnr_db, ssim


def _flat(level: int, side: int = 16) -> Image.Image:
    return Image.new("RGB", (side, side), (level, level, level))


def test_a_difference_of_one_level_everywhere_is_48_13_db() -> None:
    # 20 log10(255)
    assert psnr_db(_flat(100), _flat(101)) == pytest.approx(48.1308, abs=1e-4)


def test_one_wrong_channel_counts_a_third() -> None:
    other = Image.new("RGB", (16, 16), (100, 100, 110))
    # 10 log10(255^2 / (10^2 / 3))
    assert psnr_db(other, _flat(100)) == pytest.approx(32.9020, abs=1e-4)


def test_the_least_difference_of_large_pictures_stays_below_the_value_of_equal_ones() -> None:
    pixels = np.zeros((2000, 2000, 3), dtype=np.uint8)
    black = Image.fromarray(pixels)
    pixels[0, 0, 0] = 1
    assert psnr_db(black, black) == IDENTICAL_DB
    # 20 log10(255) + 10 log10(3 * 2000^2)
    assert psnr_db(Image.fromarray(pixels), black) == pytest.approx(118.9226, abs=1e-4)


def test_ssim_of_two_flat_pictures_is_their_luminance_term() -> None:
    # (2 * 100 * 150 + C1) / (100^2 + 150^2 + C1) with C1 = (0.01 * 255)^2
    assert ssim(_flat(100), _flat(150)) == pytest.approx(0.923092, abs=1e-6)


def test_ssim_sees_structure_that_an_inversion_destroys() -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    assert ssim(picture, picture) == pytest.approx(1)
    assert ssim(Image.fromarray(255 - pixels), picture) < -0.5


@pytest.mark.parametrize("measure", [psnr_db, ssim])
def test_pictures_of_different_sizes_are_refused(measure: object) -> None:
    with pytest.raises(RequestError, match="can't be compared"):
        measure(_flat(1, 16), _flat(1, 32))  # type: ignore[operator]
