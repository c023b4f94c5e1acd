"""Pictures that the learned scorers are tested with."""

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Resampling


@pytest.fixture(scope="session")
def pictures() -> tuple[Image.Image, ...]:
    """Five smooth pictures of 96 by 80 pixels."""
    random = np.random.default_rng(7)
    coarse = random.integers(0, 256, (5, 5, 6, 3), dtype=np.uint8)
    return tuple(Image.fromarray(levels).resize((96, 80), Resampling.BICUBIC) for levels in coarse)
