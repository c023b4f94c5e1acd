from pathlib import Path

import numpy as np
import pytest
import torch

from mixdq.configs.errors import EvaluationError
from mixdq.eval.quality.features import extract
from mixdq.eval.quality.networks import Resize, check_resize, open_inception
from mixdq.eval.quality.pictures import open_reference

from .conftest import SetMaker


def test_only_the_known_file_may_be_called_fid(seeded_inception: Path) -> None:
    network = open_inception(seeded_inception, Resize.CLEAN, "cpu")
    assert network.metric("FID") == f"FID (features {network.sha256[:12]})"
    inside = open_inception(seeded_inception, Resize.INSIDE, "cpu")
    assert inside.metric("KID") == f"KID (features {network.sha256[:12]}) (inside resize)"


def test_pictures_of_the_networks_size_have_the_same_features_either_way(
    seeded_inception: Path, make_set: SetMaker, tmp_path: Path
) -> None:
    drawn = open_reference(make_set("large", 3, side=299, noise=5))
    clean, inside = (
        extract(open_inception(seeded_inception, resize, "cpu"), drawn, tmp_path, 2, lambda done, total: None)
        for resize in Resize
    )
    assert np.allclose(clean, inside, atol=1e-4)
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_photographs_of_several_sizes_are_resized_inside_one_by_one(
    seeded_inception: Path, make_photographs: SetMaker, tmp_path: Path
) -> None:
    network = open_inception(seeded_inception, Resize.INSIDE, "cpu")
    photographs = open_reference(make_photographs("photos", 5))
    features = extract(network, photographs, tmp_path, 5, lambda done, total: None)
    pixels = torch.from_numpy(np.array(photographs.load(3)).transpose(2, 0, 1))[None]
    assert features.shape == (5, 24)
    assert np.allclose(features[3], network.module(pixels).numpy(force=True)[0], atol=1e-5)


def test_a_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"there is no file .*none\.pt.*stylegan2-ada-pytorch"):
        open_inception(tmp_path / "none.pt", Resize.CLEAN, "cpu")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"layers": torch.zeros(3)}, path)
    with pytest.raises(EvaluationError, match="holds no TorchScript"):
        open_inception(path, Resize.CLEAN, "cpu")
    path.write_bytes(b"no archive")
    with pytest.raises(EvaluationError, match="holds no TorchScript"):
        open_inception(path, Resize.CLEAN, "cpu")


def test_inside_resizing_needs_inception() -> None:
    with pytest.raises(EvaluationError, match="give --inception FILE too"):
        check_resize(Resize.INSIDE, with_inception=False)
    check_resize(Resize.INSIDE, with_inception=True)
