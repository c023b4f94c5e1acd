import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from mixdq.configs import sqnr
from mixdq.configs.errors import RequestError
from mixdq.configs.sqnr import IDENTICAL_PSNR_DB
from mixdq.eval.similarity import pixel_sqnr_db, psnr_db, ssim, whole_ssim


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
    assert psnr_db(black, black) == IDENTICAL_PSNR_DB
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


@pytest.mark.parametrize("measure", [psnr_db, ssim, whole_ssim, pixel_sqnr_db])
def test_pictures_of_different_sizes_are_refused(measure: object) -> None:
    with pytest.raises(RequestError, match="can't be compared"):
        measure(_flat(1, 16), _flat(1, 32))  # type: ignore[operator]


def test_ssim_of_the_whole_picture_is_its_closed_form() -> None:
    # Stripes of 0 and 200 against 50 and 150: means 100, variances 10000 and 2500, covariance 5000, each
    # times n / (n - 1), with n = 64 pixels.
    ours, theirs = (np.zeros((8, 8, 3), dtype=np.uint8) for _ in range(2))
    ours[:, 1::2], theirs[:, ::2], theirs[:, 1::2] = 200, 50, 150
    c2 = (0.03 * 255) ** 2
    structure = (2 * 5000 * 64 / 63 + c2) / (12500 * 64 / 63 + c2)
    assert whole_ssim(Image.fromarray(ours), Image.fromarray(theirs)) == pytest.approx(structure, abs=1e-6)


def test_ssim_of_the_whole_picture_is_that_of_scikit_image_with_one_window() -> None:
    random = np.random.default_rng(1)
    ours, theirs = (random.integers(0, 256, (15, 15, 3), dtype=np.uint8) for _ in range(2))
    expected = structural_similarity(  # type: ignore[no-untyped-call]
        ours.astype(float), theirs.astype(float), channel_axis=2, data_range=255, win_size=15
    )
    assert whole_ssim(Image.fromarray(ours), Image.fromarray(theirs)) == pytest.approx(expected, abs=1e-9)


def test_ssim_with_windows_is_that_of_scikit_image() -> None:
    random = np.random.default_rng(2)
    ours, theirs = (random.integers(0, 256, (32, 40, 3), dtype=np.uint8) for _ in range(2))
    expected = structural_similarity(  # type: ignore[no-untyped-call]
        ours, theirs, channel_axis=2, win_size=7
    )
    assert ssim(Image.fromarray(ours), Image.fromarray(theirs)) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_the_whole_picture_sees_neither_order_nor_place() -> None:
    random = np.random.default_rng(3)
    pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    picture, mirrored = Image.fromarray(pixels), Image.fromarray(pixels[::-1].copy())
    assert whole_ssim(picture, picture) == pytest.approx(1)
    assert abs(whole_ssim(mirrored, picture)) < 0.5


def test_sqnr_counts_pixels_from_minus_1_to_1() -> None:
    # The reference is 1 and the error 2 / 255 of it: 20 log10(127.5).
    assert pixel_sqnr_db(_flat(254), _flat(255)) == pytest.approx(42.1102, abs=1e-4)
    assert pixel_sqnr_db(_flat(9), _flat(9)) == sqnr.IDENTICAL_DB


def test_pictures_smaller_than_a_window_are_refused() -> None:
    with pytest.raises(RequestError, match="windows of 7 pixels"):
        ssim(_flat(1, 6), _flat(1, 6))
    with pytest.raises(RequestError, match="have one pixel"):
        whole_ssim(_flat(1, 1), _flat(1, 1))
