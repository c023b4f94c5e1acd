"""CLIP's layout: sizes read from the tensors' shapes, and open_clip's names for transformers' tensors."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from mixdq.configs.errors import EvaluationError
from mixdq.eval.scorers.conversion import Origin
from mixdq.eval.scorers.stored_weights import StoredWeights

_MODEL = "CLIP with a vision transformer (OpenAI's or open_clip's names)"
_LETTERS = {768: "B", 1024: "L", 1280: "H", 1408: "g", 1664: "bigG"}
# Channels of one attention head: 64, except in open_clip's largest vision towers.
_HEAD_WIDTHS = {1280: 80, 1408: 88, 1664: 104}
_HEAD_WIDTH = 64

_PARTS = {
    "text_model.embeddings.token_embedding.": "token_embedding.",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.": "ln_final.",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.": "visual.conv1.",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.": "visual.ln_pre.",
    "vision_model.post_layernorm.": "visual.ln_post.",
    "text_model.encoder.layers.": "transformer.resblocks.",
    "vision_model.encoder.layers.": "visual.transformer.resblocks.",
}
_IN_BLOCKS = {
    ".layer_norm1.": ".ln_1.",
    ".layer_norm2.": ".ln_2.",
    ".mlp.fc1.": ".mlp.c_fc.",
    ".mlp.fc2.": ".mlp.c_proj.",
    ".self_attn.out_proj.": ".attn.out_proj.",
}
_PROJECTIONS = {"visual_projection.weight": "visual.proj", "text_projection.weight": "text_projection"}
_QKV = re.compile(r"\.self_attn\.([qkv])_proj\.(weight|bias)$")
# What OpenAI's archives hold beside the weights.
_NOTES = ("input_resolution", "context_length", "vocab_size", "attn_mask")


@dataclass(frozen=True, slots=True)
class ClipSizes:
    """Arguments of transformers' `CLIPConfig`.

    Attributes:
        vision: of its `vision_config`.
        text: of its `text_config`.
        embedding: numbers of an embedding.
    """

    vision: dict[str, Any]
    text: dict[str, Any]
    embedding: int


def sizes_of(weights: StoredWeights, quick_gelu: bool) -> ClipSizes:
    """The sizes of a CLIP in open_clip's names.

    Raises:
        EvaluationError: it is no CLIP with a plain vision transformer.
    """
    width, _, patch, _ = weights.shape("visual.conv1.weight", 4, _MODEL)
    places, _ = weights.shape("visual.positional_embedding", 2, _MODEL)
    context, text_width = weights.shape("positional_embedding", 2, _MODEL)
    vocabulary, _ = weights.shape("token_embedding.weight", 2, _MODEL)
    _, embedding = weights.shape("visual.proj", 2, _MODEL)
    grid = math.isqrt(places - 1)
    act, head = "quick_gelu" if quick_gelu else "gelu", _HEAD_WIDTHS.get(width, _HEAD_WIDTH)
    vision = _tower(weights, "visual.transformer.resblocks.", width, head, act)
    text = _tower(weights, "transformer.resblocks.", text_width, _HEAD_WIDTH, act)
    if grid**2 != places - 1:
        raise EvaluationError(f"{weights.path} is no {_MODEL}: {places - 1} patches are no square")
    return ClipSizes(
        vision | {"patch_size": patch, "image_size": grid * patch},
        text | {"vocab_size": vocabulary, "max_position_embeddings": context},
        embedding,
    )


def origin(name: str) -> Origin:
    """Where open_clip's and OpenAI's files hold a tensor of transformers' `CLIPModel`."""
    if name in _PROJECTIONS:
        return Origin(_PROJECTIONS[name], transposed=True)
    for ours, theirs in _PARTS.items():
        if name.startswith(ours):
            name = theirs + name.removeprefix(ours)
    for ours, theirs in _IN_BLOCKS.items():
        name = name.replace(ours, theirs)
    if found := _QKV.search(name):
        return Origin(f"{name[: found.start()]}.attn.in_proj_{found[2]}", third="qkv".index(found[1]))
    return Origin(name)


def is_note(name: str) -> bool:
    """Whether a file's tensor is no weight."""
    return name in _NOTES or name.endswith(".position_ids")


def metric_name(width: int, patch: int, image_size: int) -> str:
    """`CLIP ViT-L/14`; the side is said where it is not 224 (`@336`)."""
    letter = _LETTERS.get(width, f"(width {width})")
    return f"CLIP ViT-{letter}/{patch}" + ("" if image_size == 224 else f"@{image_size}")


def _tower(weights: StoredWeights, prefix: str, width: int, head: int, act: str) -> dict[str, Any]:
    if width % head:
        raise EvaluationError(f"{weights.path} is no {_MODEL}: a width of {width} is no multiple of {head}")
    hidden, _ = weights.shape(f"{prefix}0.mlp.c_fc.weight", 2, _MODEL)
    return {
        "hidden_size": width,
        "intermediate_size": hidden,
        "num_hidden_layers": weights.layers(prefix, _MODEL),
        "num_attention_heads": width // head,
        "hidden_act": act,
    }
