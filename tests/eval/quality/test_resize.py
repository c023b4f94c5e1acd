import numpy as np
import pytest
from PIL import Image

from mixdq.eval.quality.resize import clean_resize, unresized

from .conftest import picture


def test_nothing_is_rounded() -> None:
    source = Image.fromarray(picture(0, 20, 0))
    resized = clean_resize(source, 31)
    assert resized.shape == (3, 31, 31)
    assert resized.dtype == np.float32
    assert np.abs(resized - resized.round()).max() > 0.4
    # Pillow's bicubic of the same picture in integers is the same, but for its rounding.
    rounded = np.asarray(source.resize((31, 31), Image.Resampling.BICUBIC), dtype=np.float32)
    assert np.abs(resized - rounded.transpose(2, 0, 1)).max() <= 1.01


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    resized = clean_resize(Image.fromarray(stripes), 8)
    assert resized[:, :, 1:-1] == pytest.approx(127.5, abs=1)


def test_what_overshoots_an_edge_is_clipped() -> None:
    edge = np.zeros((8, 8, 3), dtype=np.uint8)
    edge[:, 4:] = 255
    resized = clean_resize(Image.fromarray(edge), 32)
    assert resized.min() == 0
    assert resized.max() == 255


def test_channels_stay_in_their_places() -> None:
    colour = Image.new("RGB", (8, 8), (10, 20, 30))
    assert clean_resize(colour, 5)[:, 2, 2].tolist() == pytest.approx([10, 20, 30], abs=1e-4)
    assert unresized(colour)[:, 0, 0].tolist() == [10, 20, 30]
