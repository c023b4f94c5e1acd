import numpy as np
import pytest
import torch
from PIL import Image
from PIL.Image import Resampling

from mixdq.eval.scorers.pixels import Preparation

PLAIN = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def test_each_channel_is_normalized_by_its_own_mean_and_deviation() -> None:
    grey = Image.new("RGB", (8, 8), (51, 102, 204))
    found = Preparation(4).tensor([grey])
    assert found.shape == (1, 3, 4, 4)
    # (51 / 255 - 0.48145466) / 0.26862954, and so on
    expected = [-1.047743, -0.221305, 1.420674]
    assert found[0, :, 2, 1].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("width", "height"), [(12, 4), (4, 12)])
def test_the_middle_of_a_long_picture_is_kept(width: int, height: int) -> None:
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[(height - 4) // 2 :][:4, (width - 4) // 2 :][:, :4] = 255
    assert torch.equal(Preparation(4, *PLAIN).tensor([Image.fromarray(pixels)]), torch.ones(1, 3, 4, 4))


def test_an_odd_margin_is_halved_to_even() -> None:
    # Margins of 7 - 4 = 3 and 9 - 4 = 5 pixels: the corners are at round(1.5) = 2 and round(2.5) = 2.
    for length in (7, 9):
        row = np.arange(length, dtype=np.uint8).reshape(1, length, 1).repeat(4, 0).repeat(3, 2)
        found = Preparation(4, *PLAIN).tensor([Image.fromarray(row)])
        assert (found[0, 0, 0] * 255).round().tolist() == [2, 3, 4, 5]


def test_resizing_is_pillows_bicubic_filter() -> None:
    random = np.random.default_rng(3)
    picture = Image.fromarray(random.integers(0, 256, (20, 20, 3), dtype=np.uint8))
    found = Preparation(8, *PLAIN).tensor([picture])
    levels = np.asarray(picture.resize((8, 8), Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.array_equal((found[0] * 255).round().numpy(), levels)


def test_a_palette_picture_is_seen_in_its_colours() -> None:
    random = np.random.default_rng(4)
    palette = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8)).quantize(4)
    ours = Preparation(6)
    assert torch.equal(ours.tensor([palette]), ours.tensor([palette.convert("RGB")]))
