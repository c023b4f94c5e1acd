"""Weights and configuration belong to one model, or the difference is named."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mixdq.configs.errors import ModelError
from mixdq.export.weights.check import check_fit
from mixdq.export.weights.files import StoredWeights
from mixdq.export.weights.reader import WeightReader
from mixdq.export.weights.synthetic import SyntheticWeights

CONFIG = Path("unet/config.json")


def _reader(folder: Path, shapes: dict[str, tuple[int, ...]]) -> WeightReader:
    file = folder / "weights.safetensors"
    save_file({name: np.zeros(shape, np.float16) for name, shape in shapes.items()}, file)
    return StoredWeights((file,)).open()


def test_equal_tensors_fit(tmp_path: Path) -> None:
    shapes = {"a.weight": (2, 3), "a.bias": (2,)}
    check_fit(_reader(tmp_path, shapes), shapes, "the file", CONFIG)


def test_all_kinds_of_differences_are_told_at_once(tmp_path: Path) -> None:
    reader = _reader(tmp_path, {"a": (2,), "b": (3,), **{f"more.{n:02}": (1,) for n in range(12)}})
    with pytest.raises(ModelError) as caught:
        check_fit(reader, {"a": (2,), "b": (4,), "c": (5,)}, "the file", CONFIG)
    message = str(caught.value)
    assert message.startswith(
        "the file does not fit unet/config.json: missing c (1 in all); unknown more.00, "
    )
    assert "more.09 (12 in all)" in message
    assert "more.10" not in message
    assert "wrongly shaped b [3] instead of [4] (1 in all)" in message


def test_a_source_that_makes_weights_fits_everything() -> None:
    check_fit(SyntheticWeights(0, "unet").open(), {"a": (2,)}, "synthetic", CONFIG)


@pytest.mark.parametrize("stored", ["text_model.", ""])
@pytest.mark.parametrize("asked", ["text_model.", ""])
def test_a_text_encoder_fits_with_the_names_of_either_version_of_its_library(
    tmp_path: Path, stored: str, asked: str
) -> None:
    layer, ids = "encoder.layers.0.mlp.fc1.weight", "embeddings.position_ids"
    reader = _reader(tmp_path, {f"{stored}{layer}": (4, 2), f"{stored}{ids}": (1, 77)})
    check_fit(reader, {f"{asked}{layer}": (4, 2)}, "the file", CONFIG)
    assert reader.read(f"{asked}{layer}", (4, 2)).shape == (4, 2)


def test_the_old_names_of_the_attention_of_a_vae_are_read_under_the_new_ones(tmp_path: Path) -> None:
    attention = "decoder.mid_block.attentions.0"
    old = {"query": 1.0, "key": 2.0, "value": 3.0, "proj_attn": 4.0}
    file = tmp_path / "vae.safetensors"
    save_file(
        {
            f"{attention}.{name}.weight": np.full((2, 2), value).astype(np.float16)
            for name, value in old.items()
        },
        file,
    )
    reader = StoredWeights((file,)).open()
    new = [f"{attention}.{name}.weight" for name in ("to_q", "to_k", "to_v", "to_out.0")]
    check_fit(reader, dict.fromkeys(new, (2, 2)), "the file", CONFIG)
    assert [reader.read(name, (2, 2))[0, 0] for name in new] == [1, 2, 3, 4]
