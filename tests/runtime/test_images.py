"""The VAE decoder's output as pictures."""

from __future__ import annotations

import numpy as np
import pytest

from mixdq.runtime.images import to_images, to_pixels


@pytest.mark.parametrize("height", [1, 63, 64, 130])
def test_every_value_becomes_the_nearest_level_of_its_pixel(height: int) -> None:
    decoded = np.random.default_rng(0).normal(size=(2, 3, height, 5)).astype(np.float32)
    images = to_images(decoded)
    levels = np.rint((decoded / 2 + 0.5).clip(0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    assert [image.size for image in images] == [(5, height)] * 2
    assert all(np.array_equal(np.asarray(image), found) for image, found in zip(images, levels, strict=True))
    np.testing.assert_array_equal(to_pixels(decoded), levels)


def test_pictures_of_8_bits_stay_as_they_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 7, 5, 3), dtype=np.uint8)
    assert to_pixels(pixels) is pixels
    assert all(
        np.array_equal(np.asarray(image), found)
        for image, found in zip(to_images(pixels), pixels, strict=True)
    )


def test_values_beyond_the_range_are_clipped() -> None:
    decoded = np.array([-9.0, -1.0, 0.0, 1.0, 9.0], np.float32).reshape(1, 1, 1, 5).repeat(3, axis=1)
    assert np.asarray(to_images(decoded)[0])[0, :, 0].tolist() == [0, 0, 128, 255, 255]
