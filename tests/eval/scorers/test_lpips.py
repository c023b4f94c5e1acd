from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from safetensors.torch import save_file

from mixdq.configs.errors import EvaluationError
from mixdq.eval.scorers.lpips import open_lpips

# Kernel, input and output channels, padding of AlexNet's convolutions, by their places in torchvision's list.
CONVOLUTIONS = {
    0: (11, 3, 64, 2),
    3: (5, 64, 192, 2),
    6: (3, 192, 384, 1),
    8: (3, 384, 256, 1),
    10: (3, 256, 256, 1),
}
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def alexnet() -> Tensors:
    maker = torch.Generator().manual_seed(2)
    tensors = {}
    for place, (kernel, inner, outer, _) in CONVOLUTIONS.items():
        spread = (2 / (inner * kernel**2)) ** 0.5
        tensors[f"features.{place}.weight"] = (
            torch.randn(outer, inner, kernel, kernel, generator=maker) * spread
        )
        tensors[f"features.{place}.bias"] = torch.randn(outer, generator=maker) * 0.1
    return tensors


@pytest.fixture(scope="module")
def heads() -> Tensors:
    maker = torch.Generator().manual_seed(3)
    channels = [outer for _, _, outer, _ in CONVOLUTIONS.values()]
    return {f"lin{n}.model.1.weight": torch.rand(1, c, 1, 1, generator=maker) for n, c in enumerate(channels)}


def test_distances_agree_with_a_computation_of_each_layer(
    tmp_path: Path, pictures: tuple[Image.Image, ...], alexnet: Tensors, heads: Tensors
) -> None:
    save_file(alexnet | heads, tmp_path / "a.safetensors")
    found = open_lpips(tmp_path / "a.safetensors", "cpu", batch=2).distance(pictures[1:], pictures[:-1])
    assert found.dtype == np.float64
    assert found == pytest.approx(_expected(alexnet, heads, pictures[1:], pictures[:-1]), rel=1e-5)


def test_the_published_heads_are_used_where_the_file_has_none(
    tmp_path: Path, pictures: tuple[Image.Image, ...], alexnet: Tensors
) -> None:
    # torchvision's file has the classifier as well.
    torch.save(alexnet | {"classifier.1.weight": torch.ones(2, 2)}, tmp_path / "alexnet.pth")
    found = open_lpips(tmp_path / "alexnet.pth", "cpu", batch=4).distance(pictures[1:], pictures[:-1])
    spec = find_spec("torchmetrics")
    assert spec is not None
    assert spec.origin is not None
    published = torch.load(
        Path(spec.origin).parent / "functional/image/lpips_models/alex.pth",
        weights_only=True,
        map_location="cpu",
    )
    assert found == pytest.approx(_expected(alexnet, published, pictures[1:], pictures[:-1]), rel=1e-5)


def test_the_names_of_the_lpips_package_are_known(
    tmp_path: Path, pictures: tuple[Image.Image, ...], alexnet: Tensors, heads: Tensors
) -> None:
    slices = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
    theirs = {
        f"net.slice{slices[int(name.split('.')[1])]}.{name.removeprefix('features.')}": tensor
        for name, tensor in alexnet.items()
    }
    again = {name.replace("lin", "lins.", 1): tensor.clone() for name, tensor in heads.items()}
    torch.save(
        theirs | heads | again | {"scaling_layer.shift": torch.zeros(1, 3, 1, 1)}, tmp_path / "lpips.pt"
    )
    save_file(alexnet | heads, tmp_path / "a.safetensors")
    one, other = (
        open_lpips(tmp_path / name, "cpu", batch=4).distance(pictures[1:], pictures[:-1])
        for name in ("lpips.pt", "a.safetensors")
    )
    assert np.array_equal(one, other)


def test_a_picture_has_no_distance_to_itself_and_the_order_of_a_pair_does_not_matter(
    tmp_path: Path, pictures: tuple[Image.Image, ...], alexnet: Tensors
) -> None:
    save_file(alexnet, tmp_path / "a.safetensors")
    metric = open_lpips(tmp_path / "a.safetensors", "cpu", batch=8)
    assert metric.distance(pictures, pictures).tolist() == [0.0] * 5
    there, back = metric.distance(pictures[:1], pictures[1:2]), metric.distance(pictures[1:2], pictures[:1])
    assert there[0] > 0
    assert there[0] == pytest.approx(back[0], rel=1e-6)


def test_a_repeated_measurement_is_the_same_to_the_last_digit(
    tmp_path: Path, pictures: tuple[Image.Image, ...], alexnet: Tensors
) -> None:
    save_file(alexnet, tmp_path / "a.safetensors")
    path = tmp_path / "a.safetensors"
    first, second = (open_lpips(path, "cpu", batch=2).distance(pictures[1:], pictures[:-1]) for _ in "ab")
    assert np.array_equal(first, second)


def test_weights_of_another_network_are_refused(tmp_path: Path, alexnet: Tensors) -> None:
    wrong = alexnet | {"features.10.weight": torch.ones(256, 128, 3, 3), "features.28.weight": torch.ones(2)}
    del wrong["features.3.bias"]
    save_file(wrong, tmp_path / "vgg.safetensors")
    with pytest.raises(EvaluationError) as caught:
        open_lpips(tmp_path / "vgg.safetensors", "cpu", batch=1)
    message = str(caught.value)
    assert "missing features.3.bias (1 in all)" in message
    assert "unknown features.28.weight (1 in all)" in message
    assert "features.10.weight [256, 128, 3, 3] instead of [256, 256, 3, 3]" in message
    assert "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth" in message


def test_pictures_that_are_no_pairs_are_refused(
    tmp_path: Path, pictures: tuple[Image.Image, ...], alexnet: Tensors
) -> None:
    save_file(alexnet, tmp_path / "a.safetensors")
    metric = open_lpips(tmp_path / "a.safetensors", "cpu", batch=2)
    with pytest.raises(EvaluationError, match="5 pictures and 4 references"):
        metric.distance(pictures, pictures[:-1])
    with pytest.raises(EvaluationError, match=r"sizes \[\(48, 40\), \(96, 80\)\] can't be compared"):
        metric.distance(pictures[:1], [pictures[0].resize((48, 40))])
    small = pictures[0].resize((40, 30))
    with pytest.raises(EvaluationError, match="at least 31 pixels"):
        metric.distance([small], [small])


def _expected(
    alexnet: Tensors, heads: Tensors, ours: Sequence[Image.Image], theirs: Sequence[Image.Image]
) -> list[float]:
    """The paper's equation 1, a pair at a time, in FP64."""
    found = []
    for pair in zip(ours, theirs, strict=True):
        left, right = (_activations(alexnet, picture) for picture in pair)
        total = 0.0
        for number, (a, b) in enumerate(zip(left, right, strict=True)):
            difference = a / np.linalg.norm(a, axis=0) - b / np.linalg.norm(b, axis=0)
            weight = heads[f"lin{number}.model.1.weight"].double().numpy().reshape(-1, 1, 1)
            total += float((weight * difference**2).sum(axis=0).mean())
        found.append(total)
    return found


def _activations(alexnet: Tensors, picture: Image.Image) -> list[np.ndarray]:
    levels = np.asarray(picture).astype(np.float64) / 255 * 2 - 1
    scaled = (levels - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
    now, found = torch.from_numpy(scaled.transpose(2, 0, 1)[None]), []
    for place, (_, _, _, padding) in CONVOLUTIONS.items():
        if place in (3, 6):
            now = F.max_pool2d(now, 3, 2)
        weight, bias = (alexnet[f"features.{place}.{part}"].double() for part in ("weight", "bias"))
        now = F.conv2d(now, weight, bias, stride=4 if place == 0 else 1, padding=padding).clamp(min=0)
        found.append(now[0].numpy())
    return found
