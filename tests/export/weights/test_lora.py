"""LoRAs are fused into the weights that they change, and into no other."""

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.numpy import save_file

from mixdq.configs.errors import ModelError
from mixdq.export.weights.files import StoredWeights
from mixdq.export.weights.lora import FusedWeights, parse_lora

CONFIG: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": [32, 64],
    "layers_per_block": 2,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2],
    "attention_head_dim": [2, 4],
    "cross_attention_dim": 24,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 64,
}
BLOCK = "down_blocks.1.attentions.0.transformer_blocks.1"
QUERY = f"{BLOCK}.attn1.to_q"
OUT = f"{BLOCK}.attn2.to_out.0"
FEED = f"{BLOCK}.ff.net.0.proj"
CONV = "up_blocks.0.resnets.2.conv1"
SHORTCUT = "up_blocks.1.resnets.0.conv_shortcut"
LAYERS = (QUERY, OUT, FEED, CONV, SHORTCUT)
RANK = 4

Arrays = dict[str, npt.NDArray[Any]]


@pytest.fixture(scope="module")
def shapes() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(CONFIG)
    return {name: tuple(tensor.shape) for name, tensor in unet.state_dict().items()}


@pytest.fixture
def base(tmp_path: Path, shapes: dict[str, tuple[int, ...]]) -> StoredWeights:
    numbers = np.random.default_rng(0)
    file = tmp_path / "unet.safetensors"
    names = [f"{layer}.weight" for layer in LAYERS] + [f"{BLOCK}.attn1.to_k.weight"]
    save_file({name: numbers.normal(size=shapes[name]).astype(np.float16) for name in names}, file)
    return StoredWeights((file,))


def _pair(
    shape: tuple[int, ...], seed: int = 1, rank: int = RANK
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """A LoRA's down and up for a weight; a convolution's kernel is in the first."""
    numbers = np.random.default_rng(seed)
    ones = (1,) * (len(shape) - 2)
    down, up = numbers.normal(size=(rank, *shape[1:])), numbers.normal(size=(shape[0], rank, *ones))
    return down.astype(np.float16), up.astype(np.float16)


def _kohya(layer: str) -> str:
    return f"lora_unet_{layer.replace('.', '_')}"


def _save(folder: Path, tensors: Arrays, metadata: dict[str, str] | None = None) -> Path:
    file = folder / f"lora-{len(list(folder.iterdir()))}.safetensors"
    save_file({name: np.ascontiguousarray(each) for name, each in tensors.items()}, file, metadata)
    return file


def _read(base: StoredWeights, layer: str, shape: tuple[int, ...], *loras: tuple[Path, float]) -> Any:
    return FusedWeights(base, loras, CONFIG).open().read(f"{layer}.weight", shape)


def _expected(
    base: StoredWeights, layer: str, shape: tuple[int, ...], factor: float, seed: int = 1
) -> npt.NDArray[np.float16]:
    """One convolution or product after the other, done by torch in double precision."""
    down, up = (torch.from_numpy(each).double() for each in _pair(shape, seed))
    weight = torch.from_numpy(base.open().read(f"{layer}.weight", shape).astype(np.float64))
    inputs = torch.eye(math.prod(shape[1:])).double().reshape(-1, *shape[1:])
    if len(shape) == 4:
        hidden = torch.nn.functional.conv2d(inputs, down)
        delta = torch.nn.functional.conv2d(hidden, up)
    else:
        delta = inputs @ down.T @ up.T
    total = weight.double() + factor * delta.reshape(-1, shape[0]).T.reshape(shape)
    return total.numpy().astype(np.float16)


@pytest.mark.parametrize("layer", LAYERS)
def test_kohyas_names_with_an_alpha_change_their_layer(
    base: StoredWeights, shapes: dict[str, tuple[int, ...]], tmp_path: Path, layer: str
) -> None:
    shape = shapes[f"{layer}.weight"]
    down, up = _pair(shape)
    name = _kohya(layer)
    tensors = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": np.float16(1)}
    lora = _save(tmp_path, {key: np.asarray(each) for key, each in tensors.items()})
    found = _read(base, layer, shape, (lora, 0.5))
    assert found.dtype == np.float16
    np.testing.assert_allclose(
        found.astype(np.float64),
        _expected(base, layer, shape, 0.5 / RANK).astype(np.float64),
        rtol=1e-3,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("layer", "original"),
    [
        (QUERY, "lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q"),
        (CONV, "lora_unet_output_blocks_2_0_in_layers_2"),
        (SHORTCUT, "lora_unet_output_blocks_3_0_skip_connection"),
    ],
)
def test_the_original_codes_blocks_are_renamed(
    base: StoredWeights, shapes: dict[str, tuple[int, ...]], tmp_path: Path, layer: str, original: str
) -> None:
    shape = shapes[f"{layer}.weight"]
    down, up = _pair(shape)
    lora = _save(tmp_path, {f"{original}.lora_down.weight": down, f"{original}.lora_up.weight": up})
    np.testing.assert_allclose(
        _read(base, layer, shape, (lora, 1.0)), _expected(base, layer, shape, 1.0), rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize(
    ("down_name", "up_name"),
    [
        (f"unet.{OUT}.lora_A.weight", f"unet.{OUT}.lora_B.weight"),
        (f"{OUT}.lora_A.weight", f"{OUT}.lora_B.weight"),
        (
            f"unet.{BLOCK}.attn2.processor.to_out_lora.down.weight",
            f"unet.{BLOCK}.attn2.processor.to_out_lora.up.weight",
        ),
        (f"unet.{OUT}.lora.down.weight", f"unet.{OUT}.lora.up.weight"),
    ],
)
def test_peft_and_diffusers_names_without_an_alpha_add_the_product_as_it_is(
    base: StoredWeights, shapes: dict[str, tuple[int, ...]], tmp_path: Path, down_name: str, up_name: str
) -> None:
    shape = shapes[f"{OUT}.weight"]
    down, up = _pair(shape)
    lora = _save(tmp_path, {down_name: down, up_name: up})
    np.testing.assert_allclose(
        _read(base, OUT, shape, (lora, 1.0)), _expected(base, OUT, shape, 1.0), rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize(
    ("more", "factor"),
    [
        ({}, 8 / RANK),
        ({"unet.alpha_pattern": {"attn1.to_q": 2}}, 2 / RANK),
        ({"unet.alpha_pattern": {"attn2.to_q": 2}}, 8 / RANK),
        ({"unet.use_rslora": True}, 8 / RANK**0.5),
    ],
)
def test_the_alpha_in_a_files_header_counts(
    base: StoredWeights,
    shapes: dict[str, tuple[int, ...]],
    tmp_path: Path,
    more: dict[str, Any],
    factor: float,
) -> None:
    shape = shapes[f"{QUERY}.weight"]
    down, up = _pair(shape)
    header = {"lora_adapter_metadata": json.dumps({"unet.r": RANK, "unet.lora_alpha": 8, **more})}
    lora = _save(tmp_path, {f"unet.{QUERY}.lora_A.weight": down, f"unet.{QUERY}.lora_B.weight": up}, header)
    np.testing.assert_allclose(
        _read(base, QUERY, shape, (lora, 1.0)), _expected(base, QUERY, shape, factor), rtol=1e-3, atol=1e-6
    )


def _plain(shapes: dict[str, tuple[int, ...]], layer: str = QUERY, seed: int = 1) -> Arrays:
    down, up = _pair(shapes[f"{layer}.weight"], seed)
    return {f"unet.{layer}.lora_A.weight": down, f"unet.{layer}.lora_B.weight": up}


def test_two_loras_add_up_and_other_weights_stay(
    base: StoredWeights, shapes: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    shape = shapes[f"{QUERY}.weight"]
    one, two = (_save(tmp_path, _plain(shapes, seed=seed)) for seed in (1, 2))
    fused = pickle.loads(pickle.dumps(FusedWeights(base, ((one, 1.0), (two, -0.5)), CONFIG)))
    plain = base.open().read(f"{QUERY}.weight", shape).astype(np.float64)
    wanted = _expected(base, QUERY, shape, 1.0) + (_expected(base, QUERY, shape, -0.5, seed=2) - plain)
    np.testing.assert_allclose(fused.open().read(f"{QUERY}.weight", shape), wanted, atol=0.02)
    key = f"{BLOCK}.attn1.to_k.weight"
    np.testing.assert_array_equal(fused.open().read(key, shapes[key]), base.open().read(key, shapes[key]))
    assert fused.open().tensors() == base.open().tensors()
    assert fused.open().where == base.open().where


def test_the_digest_follows_base_file_and_scale(
    base: StoredWeights, shapes: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    one, two = (_save(tmp_path, _plain(shapes, seed=seed)) for seed in (1, 2))
    digests = {
        FusedWeights(base, loras, CONFIG).digest() for loras in (((one, 1.0),), ((one, 0.5),), ((two, 1.0),))
    }
    assert len(digests | {base.digest()}) == 4


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight", "changes to the text encoders"),
        ("text_encoder_2.text_model.encoder.layers.0.mlp.fc1.lora_A.weight", "changes to the text encoders"),
        (f"{_kohya(QUERY)}.dora_scale", "DoRA"),
        (f"unet.{QUERY}.lora_B.bias", "biases"),
    ],
)
def test_what_cannot_be_fused_is_refused_by_name(
    base: StoredWeights, shapes: dict[str, tuple[int, ...]], tmp_path: Path, name: str, what: str
) -> None:
    lora = _save(tmp_path, _plain(shapes) | {name: np.zeros((4, 4), np.float16)})
    with pytest.raises(ModelError, match=rf"not .*{what}.*: {name} \(1 in all\)"):
        FusedWeights(base, ((lora, 1.0),), CONFIG).open()


@pytest.mark.parametrize(
    "names",
    [
        ["unet.no.such.layer.lora_A.weight", "unet.no.such.layer.lora_B.weight"],
        [f"unet.{OUT}.lokr_w1"],
        ["base_model.model.x.lora_A.weight"],
    ],
)
def test_tensors_without_a_layer_are_named(
    base: StoredWeights, shapes: dict[str, tuple[int, ...]], tmp_path: Path, names: list[str]
) -> None:
    lora = _save(tmp_path, _plain(shapes) | {name: np.zeros((4, 4), np.float16) for name in names})
    with pytest.raises(
        ModelError, match=rf"there is no layer for {', '.join(names)} \({len(names)} in all\)"
    ):
        FusedWeights(base, ((lora, 1.0),), CONFIG).open()


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        (f"unet.{OUT}.lora_A.weight", "lora_B"),
        (f"unet.{OUT}.lora_B.weight", "lora_A"),
        (f"unet.{BLOCK}.attn2.processor.to_out_lora.down.weight", "lora_B"),
    ],
)
def test_half_of_a_lora_is_told_which_half_is_missing(
    base: StoredWeights, shapes: dict[str, tuple[int, ...]], tmp_path: Path, name: str, missing: str
) -> None:
    lora = _save(tmp_path, {name: np.zeros((4, 4), np.float16)})
    with pytest.raises(ModelError, match=rf"half of a LoRA: {name} without its {missing} \(1 in all\)"):
        FusedWeights(base, ((lora, 1.0),), CONFIG).open()


def test_a_file_without_a_lora_is_called_none(base: StoredWeights, tmp_path: Path) -> None:
    lora = _save(tmp_path, {name: np.zeros((4, 4), np.float16) for name in "ab"})
    with pytest.raises(ModelError, match=r"is no LoRA: none of its tensors is called one \(a, b \(2 in all"):
        FusedWeights(base, ((lora, 1.0),), CONFIG).open()


def test_a_type_that_is_not_read_is_named_when_the_file_is_opened(
    base: StoredWeights, shapes: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    lora = _save(tmp_path, {name: each.astype(np.int8) for name, each in _plain(shapes).items()})
    with pytest.raises(
        ModelError, match=rf"holds unet\.{QUERY}\.lora_A\.weight I8, .*\(2 in all\); mixdq reads"
    ):
        FusedWeights(base, ((lora, 1.0),), CONFIG).open()


@pytest.mark.parametrize("alpha", [np.nan, np.inf])
def test_an_alpha_that_is_not_finite_is_named(
    base: StoredWeights, shapes: dict[str, tuple[int, ...]], tmp_path: Path, alpha: float
) -> None:
    down, up = _pair(shapes[f"{QUERY}.weight"])
    name = _kohya(QUERY)
    tensors = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
    lora = _save(tmp_path, tensors | {f"{name}.alpha": np.asarray(np.float16(alpha))})
    with pytest.raises(ModelError, match=rf"the alpha of {QUERY} is no finite number \({alpha}"):
        FusedWeights(base, ((lora, 1.0),), CONFIG).open()


@pytest.mark.parametrize(
    "header",
    [
        {"unet.lora_alpha": "much"},
        {"unet.alpha_pattern": {"attn1.to_q": [1]}},
        {"unet.alpha_pattern": {"(": 1}},
        {"unet.alpha_pattern": 1},
    ],
)
def test_a_header_whose_alpha_is_no_number_is_refused(
    base: StoredWeights, shapes: dict[str, tuple[int, ...]], tmp_path: Path, header: dict[str, Any]
) -> None:
    lora = _save(tmp_path, _plain(shapes), {"lora_adapter_metadata": json.dumps(header)})
    with pytest.raises(ModelError, match=rf"the alpha of {QUERY} is no finite number"):
        FusedWeights(base, ((lora, 1.0),), CONFIG).open()


@pytest.mark.parametrize("end", ["hada_w1_a", "diff", "lora_mid.weight"])
def test_other_kinds_of_kohyas_files_are_refused(base: StoredWeights, tmp_path: Path, end: str) -> None:
    name = f"{_kohya(QUERY)}.{end}"
    lora = _save(tmp_path, {name: np.zeros((4, 4), np.float16)})
    with pytest.raises(ModelError, match=name):
        FusedWeights(base, ((lora, 1.0),), CONFIG).open()


def test_a_lora_of_another_architecture_is_refused_with_both_shapes(
    base: StoredWeights, shapes: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    tensors = _plain(shapes)
    tensors[f"unet.{QUERY}.lora_A.weight"] = np.zeros((RANK, 640), np.float16)
    lora = _save(tmp_path, tensors)
    with pytest.raises(ModelError, match=r"attn1\.to_q \[4, 640\] and \[64, 4\] for \[64, 64\] \(1 in all\)"):
        FusedWeights(base, ((lora, 1.0),), CONFIG).open()


def test_a_scale_that_overflows_half_precision_is_refused(
    base: StoredWeights, shapes: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    lora = _save(tmp_path, _plain(shapes))
    with pytest.raises(ModelError, match="exceeds what FP16 holds; give a smaller scale"):
        _read(base, QUERY, shapes[f"{QUERY}.weight"], (lora, 1e5))


def test_nan_in_a_lora_is_refused(
    base: StoredWeights, shapes: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    tensors = _plain(shapes)
    tensors[f"unet.{QUERY}.lora_B.weight"][0, 0] = np.nan
    lora = _save(tmp_path, tensors)
    with pytest.raises(ModelError, match=r"NaN or infinity in unet\..*lora_B\.weight"):
        _read(base, QUERY, shapes[f"{QUERY}.weight"], (lora, 1.0))


def test_a_lora_is_given_as_a_file_or_a_file_and_a_scale(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").touch()
    (odd := tmp_path / "b:2.safetensors").touch()
    file = tmp_path / "a.safetensors"
    assert parse_lora(str(file)) == (file, 1.0)
    assert parse_lora(f"{file}:-0.25") == (file, -0.25)
    assert parse_lora(str(odd)) == (odd, 1.0)
    assert parse_lora(f"{odd}:3") == (odd, 3.0)


@pytest.mark.parametrize("scale", ["", "nan", "inf", "much"])
def test_a_scale_that_is_no_finite_number_is_refused(tmp_path: Path, scale: str) -> None:
    (tmp_path / "a.safetensors").touch()
    with pytest.raises(ModelError, match=f"the scale '{scale}' of the LoRA"):
        parse_lora(f"{tmp_path / 'a.safetensors'}:{scale}")


@pytest.mark.parametrize("text", ["", ":", "absent.safetensors", "absent.safetensors:1"])
def test_an_absent_lora_is_refused(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="there is no LoRA"):
        parse_lora(text)
