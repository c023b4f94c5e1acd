from pathlib import Path

import pytest
import torch

from mixdq.configs.errors import EvaluationError
from mixdq.eval.alignment.network import DualEncoder, Shape
from mixdq.eval.alignment.shipped import read_model, write_model

SMALL = Shape(
    pixels=32, widths=(8,), depths=(1,), vocabulary=1600, tokens=12, text_width=16, text_layers=1,
    text_heads=2, embedding=8,
)  # fmt: skip


def _written(folder: Path) -> DualEncoder:
    torch.manual_seed(0)
    model = DualEncoder(SMALL)
    write_model(folder, model, SMALL)
    return model


def test_weights_come_back_as_half_floats(tmp_path: Path) -> None:
    model = _written(tmp_path)
    again, config = read_model(tmp_path)
    assert config.shape == SMALL
    for name, value in again.state_dict().items():
        assert torch.equal(value, model.state_dict()[name].half().float())


def test_missing_weights_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"found none; .*python -m mixdq\.eval\.alignment"):
        read_model(tmp_path)


def test_one_changed_byte_is_refused(tmp_path: Path) -> None:
    _written(tmp_path)
    weights = tmp_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(EvaluationError, match="the file was changed or is incomplete"):
        read_model(tmp_path)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    _written(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"embedding": 8', '"embedding": 16'))
    with pytest.raises(EvaluationError, match=r"its config\.json describes"):
        read_model(tmp_path)


def test_a_file_that_is_no_safetensors_is_refused_in_words(tmp_path: Path) -> None:
    _written(tmp_path)
    config = tmp_path / "config.json"
    from mixdq.configs.files import sha256_of_file

    old = sha256_of_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    config.write_text(config.read_text().replace(old, sha256_of_file(tmp_path / "model.safetensors")))
    with pytest.raises(EvaluationError, match=r"does not hold the weights"):
        read_model(tmp_path)
