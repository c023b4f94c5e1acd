"""Weights and configuration belong to one model, or the difference is named."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
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
    check_fit(_reader(tmp_path, shapes), shapes, "unet", CONFIG)


def test_all_kinds_of_differences_are_told_at_once(tmp_path: Path) -> None:
    reader = _reader(tmp_path, {"a": (2,), "b": (3,), **{f"more.{n:02}": (1,) for n in range(12)}})
    with pytest.raises(ModelError) as caught:
        check_fit(reader, {"a": (2,), "b": (4,), "c": (5,)}, "unet", CONFIG)
    message = str(caught.value)
    assert message.startswith(
        f"the unet in {tmp_path}/weights.safetensors does not fit unet/config.json: missing c (1 in all); "
        "unknown more.00, "
    )
    assert "more.09 (12 in all)" in message
    assert "more.10" not in message
    assert "wrongly shaped b [3] instead of [4] (1 in all)" in message


@pytest.mark.parametrize(("kind", "name"), [(np.int8, "I8"), (np.float64, "F64")])
def test_a_type_that_is_not_read_is_named_before_anything_is(
    tmp_path: Path, kind: npt.DTypeLike, name: str
) -> None:
    file = tmp_path / "weights.safetensors"
    odd = {f"layers.{n:02}": np.zeros(2, kind) for n in range(12)}
    save_file({"a": np.zeros(2, np.float16), **odd}, file)
    with pytest.raises(ModelError) as caught:
        check_fit(StoredWeights((file,)).open(), dict.fromkeys(["a", *odd], (2,)), "unet", CONFIG)
    message = str(caught.value)
    assert f"of a type that mixdq doesn't read layers.00 {name}, layers.01 {name}, " in message
    assert f"layers.09 {name} (12 in all); save the weights as F16, F32, BF16" in message
    assert "layers.10" not in message


def test_the_type_of_a_constant_that_no_model_reads_does_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_file({"a": np.zeros(2, np.float16), "embeddings.position_ids": np.arange(77)}, file)
    check_fit(StoredWeights((file,)).open(), {"a": (2,)}, "text_encoder", CONFIG)


@pytest.mark.parametrize(
    "stored",
    [
        {"decoder.a": (2,)},
        {"decoder.a": (2,), "encoder.b": (3,)},
        {"decoder.a": (2,), "encoder.b": (4,), "encoder.more": (1,), "quant_conv.bias": (8,)},
    ],
)
def test_what_nobody_reads_may_be_there_or_not(tmp_path: Path, stored: dict[str, tuple[int, ...]]) -> None:
    expected, unread = {"decoder.a": (2,), "encoder.b": (3,)}, ("encoder.", "quant_conv.")
    check_fit(_reader(tmp_path, stored), expected, "vae", CONFIG, unread)
    with pytest.raises(ModelError, match=r"missing post_quant_conv\.bias \(1 in all\)"):
        check_fit(_reader(tmp_path, stored), expected | {"post_quant_conv.bias": (4,)}, "vae", CONFIG, unread)


def test_a_source_that_makes_weights_fits_everything() -> None:
    check_fit(SyntheticWeights(0, "unet").open(), {"a": (2,)}, "unet", CONFIG)


@pytest.mark.parametrize("stored", ["text_model.", ""])
@pytest.mark.parametrize("asked", ["text_model.", ""])
def test_a_text_encoder_fits_with_the_names_of_either_version_of_its_library(
    tmp_path: Path, stored: str, asked: str
) -> None:
    layer, ids = "encoder.layers.0.mlp.fc1.weight", "embeddings.position_ids"
    reader = _reader(tmp_path, {f"{stored}{layer}": (4, 2), f"{stored}{ids}": (1, 77)})
    check_fit(reader, {f"{asked}{layer}": (4, 2)}, "unet", CONFIG)
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
    check_fit(reader, dict.fromkeys(new, (2, 2)), "unet", CONFIG)
    assert [reader.read(name, (2, 2))[0, 0] for name in new] == [1, 2, 3, 4]
