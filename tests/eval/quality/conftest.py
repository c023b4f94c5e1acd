"""Small sets of pictures with manifests, photographs, and a seeded network in TorchScript's form."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mixdq.configs.files import sha256_of_file
from mixdq.configs.layers import ModelIdentity
from mixdq.eval.image_set import ImageRecord, ImageSet, Painter

SIDE = 32

SetMaker = Callable[..., Path]


@pytest.fixture
def make_set(tmp_path: Path) -> SetMaker:
    """Makes a set of pictures: smooth, each different unless `alike`, with `noise` levels added."""

    def make(
        name: str,
        count: int = 12,
        *,
        noise: float = 0.0,
        prompts: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        files: Sequence[str] | None = None,
        side: int = SIDE,
        model: str = "tiny",
        model_digest: str = "0" * 64,
        steps: int = 1,
        plan_digest: str | None = None,
        alike: bool = False,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        records = []
        for index in range(count):
            file = files[index] if files else f"{index:04d}.png"
            Image.fromarray(picture(0 if alike else index, side, noise)).save(folder / file)
            prompt = prompts[index] if prompts else f"prompt {index}"
            seed = seeds[index] if seeds else index
            records.append(ImageRecord(index, prompt, seed, file, sha256_of_file(folder / file)))
        painter = Painter(
            kind="bundle",
            model=ModelIdentity(model, model_digest),
            plan=f"plan of {name}",
            plan_digest=plan_digest,
            engines={},
            target="cpu",
            device="cpu",
            scheduler="euler_ancestral",
            steps=steps,
            resolution=side,
        )
        ImageSet(painter, "3" * 64, count, tuple(records), {}, {}).write(folder)
        return folder

    return make


@pytest.fixture
def make_photographs(tmp_path: Path) -> SetMaker:
    """Makes a folder of pictures of several sizes without a manifest."""

    def make(name: str, count: int = 9) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for index in range(count):
            pixels = picture(index + 50, SIDE + 8 * (index % 3), 5.0)
            Image.fromarray(pixels[:, : SIDE - index % 2]).save(folder / f"{index}.png")
        return folder

    return make


@pytest.fixture(scope="session")
def seeded_inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TorchScript file that is called as the published Inception is, of seeded random weights."""
    path = tmp_path_factory.mktemp("weights") / "seeded.pt"
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(SeededInception().eval()), str(path))
    return path


class _Layers(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 7, stride=5)
        self.second = torch.nn.Conv2d(8, 24, 5, stride=3)
        # As wide apart as real features: distances that are not small beside a tolerance.
        self.second.weight.data *= 20

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.second(torch.relu(self.first(x)))).mean(dim=[2, 3])


class SeededInception(torch.nn.Module):
    """The published network's two ways in: `layers` on scaled pictures, and a call that resizes first."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = _Layers()

    def forward(self, img: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        x = torch.nn.functional.interpolate(img.to(torch.float32), size=[299, 299], mode="bilinear")
        features: torch.Tensor = self.layers((x - 128) / 128)
        return features if return_features else features.softmax(dim=1)


def picture(index: int, side: int, noise: float) -> np.ndarray:
    """`[side, side, 3]`, 0 to 255."""
    random = np.random.default_rng(index)
    y, x = np.mgrid[:side, :side] / side
    phases = random.uniform(0, 6, (3, 3))
    waves = [np.sin(a + 5 * b * x) * np.cos(c + 4 * y) for a, b, c in phases]
    pixels = np.stack(waves, axis=2) * 100 + 128
    pixels += noise * np.random.default_rng(index + 1000).normal(size=pixels.shape)
    return pixels.clip(0, 255).astype(np.uint8)
