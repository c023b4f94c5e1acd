"""A checkpoint of full-size SDXL with the names of its original code, as a file of holes.

The names are written from the network's structure, not from the converter that is tested.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from mixdq.export.weights.tensor_file import TensorFile

Shapes = Mapping[str, tuple[int, ...]]
FOLDER = Path(__file__).parents[3] / "configs" / "models" / "sdxl-turbo"


@dataclass(frozen=True)
class Original:
    """A checkpoint that takes no disk: all of its values are zero until they are written.

    Attributes:
        file: the checkpoint.
        folder: the configurations that it fits.
        shapes: the shapes that the models want, by component.
    """

    file: Path
    folder: Path
    shapes: Mapping[str, Shapes]

    def change(self, tensors: Mapping[str, tuple[int, ...] | None]) -> None:
        """Writes the checkpoint anew, with tensors of these shapes; None leaves one out."""
        stored = {name: tensor.shape for name, tensor in TensorFile(self.file).tensors.items()}
        assert {name for name, shape in tensors.items() if shape is None} <= set(stored)
        write_holes(self.file, {name: s for name, s in {**stored, **tensors}.items() if s is not None})


@pytest.fixture(scope="session")
def model_shapes() -> Mapping[str, Shapes]:
    """The shapes of all tensors of SDXL's components."""
    configs = {
        path.parent.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*/config.json"))
    }
    with torch.device("meta"):
        modules = {
            "unet": UNet2DConditionModel.from_config(configs["unet"]),
            "vae": AutoencoderKL.from_config(configs["vae"]),
            "text_encoder": CLIPTextModel(CLIPTextConfig.from_dict(configs["text_encoder"])),
            "text_encoder_2": CLIPTextModelWithProjection(
                CLIPTextConfig.from_dict(configs["text_encoder_2"])
            ),
        }
    return {
        part: {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
        for part, module in modules.items()
    }


@pytest.fixture
def original(model_shapes: Mapping[str, Shapes], tmp_path: Path) -> Original:
    tensors = {
        **{unet(name): shape for name, shape in model_shapes["unet"].items()},
        **{vae(name): vae_shape(name, shape) for name, shape in model_shapes["vae"].items()},
        **{clip(name): shape for name, shape in model_shapes["text_encoder"].items()},
        clip("embeddings.position_ids"): (1, 77),
        **open_clip(model_shapes["text_encoder_2"]),
    }
    file = tmp_path / "sdxl.safetensors"
    write_holes(file, tensors)
    return Original(file, FOLDER, model_shapes)


def write_holes(file: Path, tensors: Shapes) -> None:
    """Writes a safetensors file in FP16 whose values are holes."""
    header, end = {}, 0
    for name, shape in tensors.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as target:
        target.write(struct.pack("<Q", len(text)) + text)
        target.truncate(8 + len(text) + end)


_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_REST = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}

# Three layers a block: two resnets and a downsampler on the way down, three resnets on the way up.
_UNET_BLOCKS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"down_blocks\.(\d)\.resnets\.(\d)\.(\w+)", lambda m: f"input_blocks.{_down(m)}.0.{_RESNET[m[3]]}"),
    (r"down_blocks\.(\d)\.attentions\.(\d)", lambda m: f"input_blocks.{_down(m)}.1"),
    (r"down_blocks\.(\d)\.downsamplers\.0\.conv", lambda m: f"input_blocks.{3 * int(m[1]) + 3}.0.op"),
    (r"mid_block\.resnets\.(\d)\.(\w+)", lambda m: f"middle_block.{2 * int(m[1])}.{_RESNET[m[2]]}"),
    (r"mid_block\.attentions\.0", lambda m: "middle_block.1"),
    (r"up_blocks\.(\d)\.resnets\.(\d)\.(\w+)", lambda m: f"output_blocks.{_up(m)}.0.{_RESNET[m[3]]}"),
    (r"up_blocks\.(\d)\.attentions\.(\d)", lambda m: f"output_blocks.{_up(m)}.1"),
    (r"up_blocks\.(\d)\.upsamplers\.0\.conv", lambda m: f"output_blocks.{3 * int(m[1]) + 2}.2.conv"),
    *((rf"{re.escape(new)}", lambda m, old=old: old) for new, old in _UNET_REST.items()),
)
_VAE_BLOCKS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"down_blocks\.(\d)\.resnets\.(\d)", lambda m: f"down.{m[1]}.block.{m[2]}"),
    (r"down_blocks\.(\d)\.downsamplers\.0", lambda m: f"down.{m[1]}.downsample"),
    (r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{3 - int(m[1])}.block.{m[2]}"),
    (r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample"),
    (r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}"),
    (r"mid_block\.attentions\.0\.([\w.]+)(?=\.)", lambda m: f"mid.attn_1.{_VAE_ATTENTION[m[1]]}"),
    (r"conv_norm_out", lambda m: "norm_out"),
)


def unet(name: str) -> str:
    """The original name of a tensor of the UNet."""
    for pattern, rename in _UNET_BLOCKS:
        if found := re.match(rf"{pattern}(?=\.)", name):
            return f"model.diffusion_model.{rename(found)}{name[found.end() :]}"
    raise AssertionError(name)


def vae(name: str) -> str:
    """The original name of a tensor of the VAE."""
    for pattern, rename in _VAE_BLOCKS:
        name = re.sub(pattern, rename, name)
    return f"first_stage_model.{name.replace('conv_shortcut', 'nin_shortcut')}"


def vae_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The original shape: attention was made of 1x1 convolutions."""
    return (*shape, 1, 1) if "attentions" in name and len(shape) == 2 else shape


def clip(name: str) -> str:
    """The original name of a tensor of the first text encoder."""
    return f"conditioner.embedders.0.transformer.text_model.{name.removeprefix('text_model.')}"


def open_clip(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """The tensors of the second text encoder: q, k and v are one, the projection is transposed."""
    prefix = "conditioner.embedders.1.model."
    found: dict[str, tuple[int, ...]] = {f"{prefix}logit_scale": ()}
    for full, shape in shapes.items():
        name = full.removeprefix("text_model.")
        if layer := re.match(r"encoder\.layers\.(\d+)\.self_attn\.[qkv]_proj\.(weight|bias)", name):
            stored = f"transformer.resblocks.{layer[1]}.attn.in_proj_{layer[2]}"
            found[prefix + stored] = (3 * shape[0], *shape[1:])
        elif layer := re.match(r"encoder\.layers\.(\d+)\.(\w+(?:\.\w+)?)\.(weight|bias)", name):
            found[f"{prefix}transformer.resblocks.{layer[1]}.{_OPEN_CLIP[layer[2]]}.{layer[3]}"] = shape
        elif name == "text_projection.weight":
            found[f"{prefix}text_projection"] = shape[::-1]
        else:
            name = name.replace("embeddings.position_embedding.weight", "positional_embedding")
            name = name.replace("embeddings.token_embedding", "token_embedding")
            found[prefix + name.replace("final_layer_norm", "ln_final")] = shape
    return found


def _down(match: re.Match[str]) -> int:
    return 1 + 3 * int(match[1]) + int(match[2])


def _up(match: re.Match[str]) -> int:
    return 3 * int(match[1]) + int(match[2])
