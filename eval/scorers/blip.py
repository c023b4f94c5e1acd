"""ImageReward's network: BLIP's picture encoder, its text encoder that looks at the picture, and a head."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mixdq.configs.documents import read_json
from mixdq.configs.errors import EvaluationError
from mixdq.eval.scorers.conversion import Origin
from mixdq.eval.scorers.stored_weights import StoredWeights

_MODEL = "ImageReward (BLIP with a reward head)"
_VISION = "blip.visual_encoder."
_TEXT = "blip.text_encoder."
_HEAD = "mlp.layers."

# Channels of one attention head, in BERT and in the vision transformer.
_HEAD_WIDTH = 64
# Places of the head's linear layers; dropout is between them, and no activation.
_LINEAR = (0, 2, 4, 6, 7)
# The two projections of BLIP's pretraining are saved with the rest and used by no reward.
_UNUSED = ("blip.vision_proj.", "blip.text_proj.")

_RENAMED = {
    "embeddings.class_embedding": "cls_token",
    "embeddings.position_embedding": "pos_embed",
    "embeddings.patch_embedding.": "patch_embed.proj.",
    "post_layernorm.": "norm.",
    "encoder.layers.": "blocks.",
    ".layer_norm1.": ".norm1.",
    ".layer_norm2.": ".norm2.",
    ".self_attn.qkv.": ".attn.qkv.",
    ".self_attn.projection.": ".attn.proj.",
}


@dataclass(frozen=True, slots=True)
class RewardSizes:
    """Arguments of transformers' `BlipVisionConfig` and `BlipTextConfig`, and the head's widths."""

    vision: dict[str, Any]
    text: dict[str, Any]
    head: tuple[int, ...]


class RewardModel(nn.Module):
    """A reward before it is normalized: from the text encoder's first token, which has seen the picture."""

    def __init__(self, sizes: RewardSizes) -> None:
        from transformers import BlipTextConfig, BlipVisionConfig, BlipVisionModel
        from transformers.models.blip.modeling_blip_text import BlipTextModel

        super().__init__()
        self.visual_encoder = BlipVisionModel(BlipVisionConfig(**sizes.vision))
        self.text_encoder = BlipTextModel(BlipTextConfig(**sizes.text), add_pooling_layer=False)
        layers: list[nn.Module] = [nn.Identity() for _ in range(_LINEAR[-1] + 1)]
        for place, inner, outer in zip(_LINEAR, sizes.head, sizes.head[1:], strict=False):
            layers[place] = nn.Linear(inner, outer)
        self.mlp = nn.ModuleDict({"layers": nn.Sequential(*layers)})

    @classmethod
    def empty(cls, sizes: RewardSizes) -> RewardModel:
        """The model without memory for its tensors."""
        with torch.device("meta"):
            return cls(sizes)

    def forward(self, pixels: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Rewards [N] of pictures [N,3,H,W] and tokens [N,L] with their mask (0 for padding)."""
        seen = self.visual_encoder(pixel_values=pixels).last_hidden_state
        read = self.text_encoder(
            input_ids=ids,
            attention_mask=mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device),
        ).last_hidden_state
        rewards: torch.Tensor = self.mlp["layers"](read[:, 0])
        return rewards[:, 0]


def sizes_of(weights: StoredWeights, med_config: Path | None) -> RewardSizes:
    """The sizes of an ImageReward, from its tensors.

    Args:
        weights: the file.
        med_config: BLIP's configuration of the text encoder, compared with the tensors; None if it isn't
            there.

    Raises:
        EvaluationError: the tensors are of another model, or the configuration is.
    """
    width, _, patch, _ = weights.shape(f"{_VISION}patch_embed.proj.weight", 4, _MODEL)
    _, places, _ = weights.shape(f"{_VISION}pos_embed", 3, _MODEL)
    vocabulary, text_width = weights.shape(f"{_TEXT}embeddings.word_embeddings.weight", 2, _MODEL)
    positions, _ = weights.shape(f"{_TEXT}embeddings.position_embeddings.weight", 2, _MODEL)
    vision = {
        **_tower(weights, f"{_VISION}blocks.", width, "mlp.fc1.weight"),
        "image_size": math.isqrt(places - 1) * patch,
        "patch_size": patch,
        "layer_norm_eps": 1e-6,
    }
    text = {
        **_tower(weights, f"{_TEXT}encoder.layer.", text_width, "intermediate.dense.weight"),
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        "encoder_hidden_size": width,
        "layer_norm_eps": 1e-12,
    }
    if med_config is not None:
        _check_config(text, med_config)
    head = [weights.shape(f"{_HEAD}{place}.weight", 2, _MODEL) for place in _LINEAR]
    return RewardSizes(vision, text, (head[0][1], *(outer for outer, _ in head)))


def origin(name: str) -> Origin:
    """Where ImageReward's file holds a tensor of `RewardModel`."""
    part, _, rest = name.partition(".")
    if part == "mlp":
        return Origin(name)
    if part == "visual_encoder":
        for ours, theirs in _RENAMED.items():
            rest = rest.replace(ours, theirs)
    return Origin(f"blip.{part}.{rest}")


def is_unused(name: str) -> bool:
    """Whether a reward doesn't need a tensor of the file."""
    return name.startswith(_UNUSED) or name.endswith(".position_ids")


def _tower(weights: StoredWeights, prefix: str, width: int, hidden: str) -> dict[str, Any]:
    if width % _HEAD_WIDTH:
        raise EvaluationError(
            f"{weights.path} is no {_MODEL}: the width of {prefix}… is {width}, no multiple of {_HEAD_WIDTH}"
        )
    return {
        "hidden_size": width,
        "intermediate_size": weights.shape(f"{prefix}0.{hidden}", 2, _MODEL)[0],
        "num_hidden_layers": weights.layers(prefix, _MODEL),
        "num_attention_heads": width // _HEAD_WIDTH,
        "hidden_act": "gelu",
    }


def _check_config(text: dict[str, Any], path: Path) -> None:
    config = read_json(dict[str, Any], path, EvaluationError)
    # BLIP sets encoder_width to the picture encoder's, whatever the file says.
    names = set(text) - {"encoder_hidden_size"}
    differs = [
        f"{name} {config[name]} instead of {text[name]}"
        for name in sorted(names)
        if name in config and config[name] != text[name]
    ]
    if differs:
        raise EvaluationError(
            f"{path} is of another text encoder than the weights: {'; '.join(differs)}; give the "
            "med_config.json that was published with them"
        )
