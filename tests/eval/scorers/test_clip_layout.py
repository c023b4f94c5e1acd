"""Real sizes, by tensors that have shapes and no memory."""

from pathlib import Path

import pytest
import torch

from mixdq.configs.errors import EvaluationError
from mixdq.eval.scorers.clip_layout import metric_name, sizes_of
from mixdq.eval.scorers.stored_weights import StoredWeights


def _shapes(width: int, layers: int, patch: int, grid: int, text: int, embedding: int) -> StoredWeights:
    shapes: dict[str, tuple[int, ...]] = {
        "visual.conv1.weight": (width, 3, patch, patch),
        "visual.positional_embedding": (grid**2 + 1, width),
        "visual.proj": (width, embedding),
        "positional_embedding": (77, text),
        "token_embedding.weight": (49408, text),
    }
    for n in range(layers):
        shapes[f"visual.transformer.resblocks.{n}.mlp.c_fc.weight"] = (4 * width, width)
    for n in range(12):
        shapes[f"transformer.resblocks.{n}.mlp.c_fc.weight"] = (4 * text, text)
    return StoredWeights(
        Path("clip.pt"), "0" * 64, {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    )


@pytest.mark.parametrize(
    ("name", "width", "layers", "patch", "grid", "text", "heads"),
    [
        ("CLIP ViT-B/32", 768, 12, 32, 7, 512, (12, 8)),
        ("CLIP ViT-B/16", 768, 12, 16, 14, 512, (12, 8)),
        ("CLIP ViT-L/14", 1024, 24, 14, 16, 768, (16, 12)),
        ("CLIP ViT-L/14@336", 1024, 24, 14, 24, 768, (16, 12)),
        ("CLIP ViT-H/14", 1280, 32, 14, 16, 1024, (16, 16)),
    ],
)
def test_a_published_model_is_known_by_its_shapes(
    name: str, width: int, layers: int, patch: int, grid: int, text: int, heads: tuple[int, int]
) -> None:
    sizes = sizes_of(_shapes(width, layers, patch, grid, text, 768), quick_gelu=True)
    assert sizes.vision == {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads[0],
        "hidden_act": "quick_gelu",
        "patch_size": patch,
        "image_size": grid * patch,
    }
    assert (sizes.text["num_hidden_layers"], sizes.text["num_attention_heads"]) == (12, heads[1])
    assert (sizes.text["vocab_size"], sizes.text["max_position_embeddings"], sizes.embedding) == (
        49408,
        77,
        768,
    )
    assert metric_name(width, patch, sizes.vision["image_size"]) == name


def test_a_width_that_no_heads_fit_is_refused() -> None:
    with pytest.raises(EvaluationError, match="a width of 1000 is no multiple of 64"):
        sizes_of(_shapes(1000, 2, 14, 16, 768, 768), quick_gelu=True)


def test_patches_that_are_no_square_are_refused() -> None:
    weights = _shapes(1024, 2, 14, 16, 768, 768)
    cut = dict(weights.tensors) | {"visual.positional_embedding": torch.empty(201, 1024, device="meta")}
    with pytest.raises(EvaluationError, match="200 patches are no square"):
        sizes_of(StoredWeights(weights.path, weights.sha256, cut), quick_gelu=True)
