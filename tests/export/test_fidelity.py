"""Figures of likeness, against NumPy, scikit-image and torchmetrics."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from mixdq.configs import sqnr as reference
from mixdq.eval import similarity
from mixdq.export.fidelity import psnr_db, sqnr_db, whole_ssim, windowed_ssim


def _noisy(shape: tuple[int, ...], noise: float = 0.1) -> tuple[Tensor, Tensor]:
    """Values of 0 to 1 with neighbours alike, and the same with noise."""
    draw = torch.Generator().manual_seed(0)
    rough = torch.rand((*shape[:2], shape[2] // 8, shape[3] // 8), generator=draw)
    smooth = torch.nn.functional.interpolate(rough, shape[2:], mode="bilinear")
    return (smooth + noise * torch.randn(shape, generator=draw)).clamp(0, 1), smooth


def test_sqnr_is_the_reference_s_for_each_picture_alone() -> None:
    found, expected = _noisy((3, 4, 16, 16))
    values = sqnr_db(found, expected)
    assert values.dtype == torch.float64
    for index in range(3):
        alone = reference.sqnr_db(found[index].numpy(), expected[index].numpy())
        assert values[index].item() == pytest.approx(alone, rel=1e-12)


def test_equal_pictures_get_the_numbers_for_equality() -> None:
    found, _ = _noisy((2, 3, 16, 16))
    assert sqnr_db(found, found).tolist() == [reference.IDENTICAL_DB] * 2
    assert psnr_db(found, found).tolist() == [reference.IDENTICAL_DB] * 2
    assert whole_ssim(found, found).tolist() == pytest.approx([1, 1], abs=1e-12)
    assert windowed_ssim(found, found).tolist() == pytest.approx([1, 1], abs=1e-6)


def test_psnr_of_a_tenth_everywhere_is_twenty_decibels() -> None:
    black = torch.zeros(2, 3, 8, 8)
    assert psnr_db(black + 0.1, black).tolist() == pytest.approx([20.0, 20.0], abs=1e-5)


@pytest.mark.parametrize("size", [(32, 48), (8, 8)])
def test_ssim_over_the_whole_picture_is_that_of_the_pictures_eval_compares(size: tuple[int, int]) -> None:
    found, expected = ((values * 255).round().to(torch.uint8) for values in _noisy((2, 3, *size)))
    values = whole_ssim(found / 255, expected / 255)
    for index in range(2):
        ours, theirs = (
            Image.fromarray(pixels[index].permute(1, 2, 0).numpy()) for pixels in (found, expected)
        )
        assert values[index].item() == pytest.approx(similarity.whole_ssim(ours, theirs), abs=1e-6)


@pytest.mark.parametrize("noise", [0.02, 0.3])
def test_windowed_ssim_is_torchmetrics(noise: float) -> None:
    found, expected = _noisy((2, 3, 40, 24), noise)
    theirs = structural_similarity_index_measure(found, expected, data_range=1.0, reduction="none")
    assert isinstance(theirs, Tensor)
    torch.testing.assert_close(windowed_ssim(found, expected).float(), theirs, rtol=0, atol=2e-6)


def test_windowed_ssim_is_scikit_images_where_edges_are_flat() -> None:
    # The two mirror an edge differently, which a flat margin as wide as the window hides.
    found, expected = _noisy((1, 1, 40, 40))
    for picture in (found, expected):
        for side in (slice(0, 12), slice(-12, None)):
            picture[:, :, side] = 0.5
            picture[..., side] = 0.5
    ours, theirs = (picture[0, 0].double().numpy() for picture in (found, expected))
    _, values = structural_similarity(  # type: ignore[no-untyped-call]
        ours, theirs, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    assert windowed_ssim(found, expected).item() == pytest.approx(float(np.mean(values)), abs=2e-6)


def test_more_noise_is_less_likeness_by_every_figure() -> None:
    little, expected = _noisy((1, 3, 32, 32), 0.05)
    much, _ = _noisy((1, 3, 32, 32), 0.2)
    for figure in (sqnr_db, psnr_db, whole_ssim, windowed_ssim):
        assert figure(much, expected) < figure(little, expected)
