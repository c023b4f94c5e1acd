"""One file of the whole pipeline with the names of SDXL's original code, at full size."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file

from mixdq.configs.errors import ModelError
from mixdq.export.weights.check import check_fit
from mixdq.export.weights.checkpoint import CheckpointWeights
from mixdq.export.weights.tensor_file import TensorFile

CONFIG = Path("config")
PARTS = ["unet", "vae", "text_encoder", "text_encoder_2"]
CLIP_LAYER = "conditioner.embedders.1.model.transformer.resblocks.3.attn"


def _write(file: Path, name: str, values: npt.NDArray[Any]) -> None:
    stored = TensorFile(file).tensors[name]
    assert stored.shape == values.shape
    with file.open("r+b") as target:
        target.seek(stored.begin)
        target.write(values.astype(np.float16).tobytes())


def _pattern(*shape: int) -> npt.NDArray[np.float16]:
    return (np.arange(np.prod(shape)) % 2039).reshape(shape).astype(np.float16)


@pytest.mark.parametrize("part", PARTS)
def test_every_tensor_of_every_component_is_found(original: Any, part: str) -> None:
    source = CheckpointWeights(original.file, part, original.folder)
    check_fit(pickle.loads(pickle.dumps(source)).open(), original.shapes[part], part, CONFIG)


@pytest.mark.parametrize(
    ("part", "name", "stored"),
    [
        ("unet", "add_embedding.linear_2.weight", "label_emb.0.2.weight"),
        ("unet", "down_blocks.1.downsamplers.0.conv.weight", "input_blocks.6.0.op.weight"),
        ("unet", "up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"),
        ("unet", "up_blocks.2.resnets.2.conv_shortcut.weight", "output_blocks.8.0.skip_connection.weight"),
        ("unet", "mid_block.resnets.1.time_emb_proj.bias", "middle_block.2.emb_layers.1.bias"),
    ],
)
def test_a_tensor_of_the_unet_comes_from_its_place(original: Any, part: str, name: str, stored: str) -> None:
    shape = original.shapes[part][name]
    _write(original.file, f"model.diffusion_model.{stored}", _pattern(*shape))
    found = CheckpointWeights(original.file, part, original.folder).open().read(name, shape)
    np.testing.assert_array_equal(found, _pattern(*shape))


def test_the_attention_of_the_vae_loses_its_1x1_kernels(original: Any) -> None:
    values = _pattern(512, 512, 1, 1)
    _write(original.file, "first_stage_model.decoder.mid.attn_1.v.weight", values)
    reader = CheckpointWeights(original.file, "vae", original.folder).open()
    found = reader.read("decoder.mid_block.attentions.0.to_v.weight", (512, 512))
    np.testing.assert_array_equal(found, values[:, :, 0, 0])


def test_the_blocks_of_the_decoder_are_counted_from_the_other_end(original: Any) -> None:
    values = _pattern(256, 512, 3, 3)
    _write(original.file, "first_stage_model.decoder.up.1.block.0.conv1.weight", values)
    reader = CheckpointWeights(original.file, "vae", original.folder).open()
    found = reader.read("decoder.up_blocks.2.resnets.0.conv1.weight", values.shape)
    np.testing.assert_array_equal(found, values)


def test_query_key_and_value_are_thirds_of_one_tensor(original: Any) -> None:
    weight, bias = _pattern(3840, 1280), _pattern(3840)
    _write(original.file, f"{CLIP_LAYER}.in_proj_weight", weight)
    _write(original.file, f"{CLIP_LAYER}.in_proj_bias", bias)
    reader = CheckpointWeights(original.file, "text_encoder_2", original.folder).open()
    for third, letter in enumerate("qkv"):
        name = f"text_model.encoder.layers.3.self_attn.{letter}_proj"
        rows = slice(1280 * third, 1280 * (third + 1))
        np.testing.assert_array_equal(reader.read(f"{name}.weight", (1280, 1280)), weight[rows])
        np.testing.assert_array_equal(reader.read(f"{name}.bias", (1280,)), bias[rows])


def test_the_projection_is_transposed(original: Any) -> None:
    values = _pattern(1280, 1280)
    _write(original.file, "conditioner.embedders.1.model.text_projection", values)
    reader = CheckpointWeights(original.file, "text_encoder_2", original.folder).open()
    np.testing.assert_array_equal(reader.read("text_projection.weight", (1280, 1280)), values.T)


def test_the_first_text_encoder_is_read_by_the_names_of_either_version_of_its_library(original: Any) -> None:
    reader = CheckpointWeights(original.file, "text_encoder", original.folder).open()
    shape = original.shapes["text_encoder"]["final_layer_norm.weight"]
    assert reader.read("final_layer_norm.weight", shape).shape == shape
    assert reader.read("text_model.final_layer_norm.weight", shape).shape == shape


def test_nan_is_refused_by_both_names(original: Any) -> None:
    _write(original.file, "model.diffusion_model.out.2.bias", np.array([0, 0, np.nan, 0]))
    reader = CheckpointWeights(original.file, "unet", original.folder).open()
    with pytest.raises(
        ModelError, match=r"NaN or infinity in model\.diffusion_model\.out\.2\.bias \(conv_out"
    ):
        reader.read("conv_out.bias", (4,))


def test_another_shape_and_an_absent_tensor_are_refused(original: Any) -> None:
    reader = CheckpointWeights(original.file, "unet", original.folder).open()
    with pytest.raises(ModelError, match=r"holds conv_out\.bias as \[4\] where"):
        reader.read("conv_out.bias", (8,))
    with pytest.raises(ModelError, match="there is no conv_out_2"):
        reader.read("conv_out_2.bias", (4,))


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (
            ["model.diffusion_model.out.2.bias", "cond_stage_model.x"],
            "a checkpoint of Stable Diffusion 1 or 2",
        ),
        (["model.diffusion_model.out.2.bias", "conditioner.embedders.0.model.x"], "the SDXL refiner"),
        (["lora_unet_mid_block.lora_up.weight"], "a LoRA"),
        (["down_blocks.0.resnets.0.conv1.bias"], "one component of a diffusers folder"),
        (["x"], "something else"),
    ],
)
def test_any_other_file_is_called_by_its_name(tmp_path: Path, names: list[str], what: str) -> None:
    file = tmp_path / "x.safetensors"
    save_file({name: np.zeros(1, np.float16) for name in names}, file)
    with pytest.raises(ModelError, match=f"is {what}.*, not a checkpoint of SDXL"):
        CheckpointWeights(file, "unet", tmp_path).open()


@pytest.mark.parametrize(
    ("part", "stored", "missing"),
    [
        ("unet", "model.diffusion_model.label_emb.0.0.weight", "add_embedding.linear_1.weight"),
        ("unet", "model.diffusion_model.out.0.bias", "conv_norm_out.bias"),
        ("unet", "model.diffusion_model.input_blocks.3.0.op.bias", "down_blocks.0.downsamplers.0.conv.bias"),
        (
            "unet",
            "model.diffusion_model.output_blocks.2.2.conv.bias",
            "up_blocks.0.upsamplers.0.conv.bias",
        ),
        (
            "vae",
            "first_stage_model.decoder.up.0.block.1.conv2.bias",
            "decoder.up_blocks.3.resnets.1.conv2.bias",
        ),
        (
            "vae",
            "first_stage_model.decoder.up.3.upsample.conv.bias",
            "decoder.up_blocks.0.upsamplers.0.conv.bias",
        ),
        ("text_encoder_2", "conditioner.embedders.1.model.text_projection", "text_projection.weight"),
    ],
)
def test_a_missing_tensor_is_named(original: Any, part: str, stored: str, missing: str) -> None:
    original.change({stored: None})
    source = CheckpointWeights(original.file, part, original.folder)
    with pytest.raises(
        ModelError, match=rf"{part} in {original.file} does not fit.*: missing {missing} \(1 in"
    ):
        check_fit(source.open(), original.shapes[part], part, CONFIG)


def test_of_many_missing_tensors_ten_are_named(original: Any) -> None:
    prefix = "model.diffusion_model."
    gone = [name for name in TensorFile(original.file).tensors if name.startswith(f"{prefix}label_emb.0")]
    gone += [f"{prefix}{name}.{end}" for name in ("out.2", "time_embed.0") for end in ("weight", "bias")]
    gone += [
        f"{prefix}input_blocks.1.0.{end}"
        for end in ("in_layers.0.weight", "in_layers.2.weight", "out_layers.3.bias")
    ]
    original.change(dict.fromkeys(gone))
    source = CheckpointWeights(original.file, "unet", original.folder)
    with pytest.raises(ModelError) as caught:
        check_fit(source.open(), original.shapes["unet"], "unet", CONFIG)
    message = str(caught.value)
    assert (
        "add_embedding.linear_1.bias, add_embedding.linear_1.weight, add_embedding.linear_2.bias" in message
    )
    assert "(11 in all)" in message
    assert "KeyError" not in message


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("unet", "model.diffusion_model.conv_on.bias"),
        ("unet", "model.diffusion_model.input_blocks.1.0.in_layers.9.weight"),
        ("vae", "first_stage_model.decoder.extra.weight"),
        ("text_encoder", "conditioner.embedders.0.transformer.text_model.extra.weight"),
        ("text_encoder_2", "conditioner.embedders.1.model.visual.conv1.weight"),
    ],
)
def test_an_extra_tensor_is_named_as_the_file_has_it(original: Any, part: str, name: str) -> None:
    original.change({name: (4,)})
    source = CheckpointWeights(original.file, part, original.folder)
    with pytest.raises(ModelError, match=rf"does not fit config: unknown {name} \(1 in all\)"):
        check_fit(source.open(), original.shapes[part], part, CONFIG)


@pytest.mark.parametrize("name", ["v_pred", "edm_mean", "control_model.input_blocks.0.0.bias"])
def test_an_extra_tensor_of_no_component_is_named(original: Any, name: str) -> None:
    original.change({name: (1,)})
    with pytest.raises(
        ModelError, match=rf"more than an SDXL checkpoint.*: unknown {name} \(1 in all\); give"
    ):
        CheckpointWeights(original.file, "unet", original.folder).open()


def test_what_training_leaves_in_a_checkpoint_is_no_extra_tensor(original: Any) -> None:
    names = [
        "model_ema.decay",
        "model_ema.diffusion_modelinput_blocks00weight",
        "betas",
        "alphas_cumprod_prev",
        "sqrt_one_minus_alphas_cumprod",
        "log_one_minus_alphas_cumprod",
        "sqrt_recipm1_alphas_cumprod",
        "posterior_log_variance_clipped",
        "denoiser.sigmas",
        "first_stage_model.loss.discriminator.main.0.weight",
        "conditioner.embedders.1.model.transformer.text_model.embeddings.position_ids",
    ]
    original.change(dict.fromkeys(names, (1,)))
    for part in PARTS:
        source = CheckpointWeights(original.file, part, original.folder)
        check_fit(source.open(), original.shapes[part], part, CONFIG)


def test_an_autoencoder_without_its_encoder_is_enough(original: Any) -> None:
    stored = TensorFile(original.file).tensors
    unread = ("first_stage_model.encoder.", "first_stage_model.quant_conv.")
    original.change(dict.fromkeys(name for name in stored if name.startswith(unread)))
    reader = CheckpointWeights(original.file, "vae", original.folder).open()
    check_fit(reader, original.shapes["vae"], "vae", CONFIG, ("encoder.", "quant_conv."))


@pytest.mark.parametrize(
    ("part", "stored", "shape", "words"),
    [
        ("unet", "model.diffusion_model.out.2.bias", (7,), r"\(conv_out\.bias\) \[7\] instead of \[4\]"),
        (
            "vae",
            "first_stage_model.decoder.mid.attn_1.q.weight",
            (512, 512, 3, 3),
            r"\(decoder\.mid_block\.attentions\.0\.to_q\.weight\) \[512, 512, 3, 3\] instead of \[512, 512\]",
        ),
        ("text_encoder_2", f"{CLIP_LAYER}.in_proj_bias", (7,), r"\[7\] instead of \[3840\]"),
        ("text_encoder_2", f"{CLIP_LAYER}.in_proj_weight", (7,), r"\[7\] instead of \[3840, 1280\]"),
    ],
)
def test_a_wrongly_shaped_tensor_is_named_as_the_file_has_it(
    original: Any, part: str, stored: str, shape: tuple[int, ...], words: str
) -> None:
    original.change({stored: shape})
    source = CheckpointWeights(original.file, part, original.folder)
    with pytest.raises(ModelError, match=rf"wrongly shaped {stored} {words} \(1 in all\)"):
        check_fit(source.open(), original.shapes[part], part, CONFIG)


def test_the_digest_tells_components_apart(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(b"any")
    assert len({CheckpointWeights(file, part, tmp_path).digest() for part in PARTS}) == 4
