"""A tiny ImageReward against a NumPy computation from the published names."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from PIL.Image import Resampling

from mixdq.configs.errors import EvaluationError
from mixdq.eval.scorer import TextImageScorer
from mixdq.eval.scorers.image_reward import open_image_reward

SEEN, READ, PATCH, SIDE = 128, 64, 16, 32
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "cat", "##s", "cafe", ",", "dog"]
PROMPTS = ("a red cat", "Cats, café", "a zebra", "dog " * 60, "")
# As BERT cuts them: lower case, no accents, pieces after `##`, [UNK] for a word without pieces; at most 35.
IDS = ([2, 4, 5, 6, 3], [2, 6, 7, 9, 8, 3], [2, 4, 1, 3], [2, *[10] * 33, 3], [2, 3])

Tensors = dict[str, torch.Tensor]
Array = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    """Two layers a tower; two heads in the picture's, one in the text's."""
    maker = torch.Generator().manual_seed(5)

    def normal(*shape: int, spread: float) -> torch.Tensor:
        return torch.randn(*shape, generator=maker) * spread

    made = {
        "blip.visual_encoder.cls_token": normal(1, 1, SEEN, spread=0.5),
        "blip.visual_encoder.pos_embed": normal(1, (SIDE // PATCH) ** 2 + 1, SEEN, spread=0.5),
        "blip.text_encoder.embeddings.position_ids": torch.arange(40).view(1, 40),
        "blip.text_encoder.embeddings.word_embeddings.weight": normal(len(VOCABULARY) + 2, READ, spread=0.5),
        "blip.text_encoder.embeddings.position_embeddings.weight": normal(40, READ, spread=0.5),
        "blip.vision_proj.weight": normal(8, SEEN, spread=1.0),
        "blip.text_proj.weight": normal(8, READ, spread=1.0),
    }
    linear: dict[str, tuple[int, ...]] = {"blip.visual_encoder.patch_embed.proj": (SEEN, 3, PATCH, PATCH)}
    norms = {"blip.visual_encoder.norm": SEEN, "blip.text_encoder.embeddings.LayerNorm": READ}
    for n in range(2):
        block = f"blip.visual_encoder.blocks.{n}"
        linear |= {f"{block}.attn.qkv": (3 * SEEN, SEEN), f"{block}.attn.proj": (SEEN, SEEN)}
        linear |= {f"{block}.mlp.fc1": (2 * SEEN, SEEN), f"{block}.mlp.fc2": (SEEN, 2 * SEEN)}
        norms |= {f"{block}.norm1": SEEN, f"{block}.norm2": SEEN}
        layer = f"blip.text_encoder.encoder.layer.{n}"
        for kind, source in (("attention", READ), ("crossattention", SEEN)):
            linear |= {
                f"{layer}.{kind}.self.query": (READ, READ),
                f"{layer}.{kind}.output.dense": (READ, READ),
            }
            linear |= {
                f"{layer}.{kind}.self.key": (READ, source),
                f"{layer}.{kind}.self.value": (READ, source),
            }
            norms[f"{layer}.{kind}.output.LayerNorm"] = READ
        linear |= {f"{layer}.intermediate.dense": (3 * READ, READ), f"{layer}.output.dense": (READ, 3 * READ)}
        norms[f"{layer}.output.LayerNorm"] = READ
    for place, inner, outer in ((0, READ, 24), (2, 24, 16), (4, 16, 12), (6, 12, 8), (7, 8, 1)):
        linear[f"mlp.layers.{place}"] = (outer, inner)
    for name, shape in linear.items():
        made[f"{name}.weight"] = normal(*shape, spread=1.2 / math.prod(shape[1:]) ** 0.5)
        made[f"{name}.bias"] = normal(shape[0], spread=0.3)
    for name, width in norms.items():
        made[f"{name}.weight"] = 1 + normal(width, spread=0.2)
        made[f"{name}.bias"] = normal(width, spread=0.2)
    return made


@pytest.fixture
def file(tmp_path: Path, tensors: Tensors) -> Path:
    """The weights with the vocabulary beside them."""
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    torch.save(tensors, tmp_path / "ImageReward.pt")
    return tmp_path / "ImageReward.pt"


def test_rewards_agree_with_a_computation_from_the_published_names(
    file: Path, tensors: Tensors, pictures: tuple[Image.Image, ...]
) -> None:
    scorer: TextImageScorer = open_image_reward(file, None, None, "cpu", batch=2)
    found = scorer.score(pictures, PROMPTS)
    expected = [_expected(tensors, *pair) for pair in zip(pictures, IDS, strict=True)]
    assert found.dtype == np.float64
    assert found == pytest.approx(expected, abs=1e-4)
    assert np.ptp(expected) > 0.1
    assert scorer.name == "ImageReward-v1.0"


def test_a_reward_does_not_depend_on_the_batch_and_repeats_to_the_last_digit(
    file: Path, pictures: tuple[Image.Image, ...]
) -> None:
    whole, again, single = (
        open_image_reward(file, None, None, "cpu", batch).score(pictures, PROMPTS) for batch in (8, 8, 1)
    )
    assert np.array_equal(whole, again)
    assert whole == pytest.approx(single, abs=1e-5)


def test_a_reward_needs_the_picture_and_the_prompt(file: Path, pictures: tuple[Image.Image, ...]) -> None:
    scorer = open_image_reward(file, None, None, "cpu", 8)
    first, other_picture, other_prompt = scorer.score(
        [pictures[0], pictures[1], pictures[0]], ["a red cat", "a red cat", "dog"]
    )
    assert abs(first - other_picture) > 1e-3
    assert abs(first - other_prompt) > 1e-3


def test_the_published_configuration_is_accepted_and_another_one_refused(file: Path, tmp_path: Path) -> None:
    config = {
        "hidden_size": READ,
        "num_attention_heads": 1,
        "num_hidden_layers": 2,
        "layer_norm_eps": 1e-12,
        "encoder_width": 768,
        "add_cross_attention": True,
    }
    path = tmp_path / "med_config.json"
    path.write_text(json.dumps(config))
    open_image_reward(file, path, None, "cpu", 1)
    path.write_text(json.dumps(config | {"num_hidden_layers": 12}))
    with pytest.raises(EvaluationError, match=r"another text encoder .* num_hidden_layers 12 instead of 2"):
        open_image_reward(file, path, None, "cpu", 1)


def test_a_missing_vocabulary_says_where_to_get_it(file: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(
        EvaluationError, match=r"no vocabulary at .*vocab\.txt; .*bert-base-uncased vocab\.txt"
    ):
        open_image_reward(file, None, None, "cpu", 1)


def test_another_vocabulary_is_refused(file: Path, tmp_path: Path) -> None:
    longer = tmp_path / "longer.txt"
    longer.write_text("\n".join([*VOCABULARY, "horse"]))
    with pytest.raises(EvaluationError, match="has 12 entries, and the weights were trained with 11"):
        open_image_reward(file, None, longer, "cpu", 1)
    longer.write_text("horse\n" * 11)
    with pytest.raises(EvaluationError, match="no vocabulary of BERT"):
        open_image_reward(file, None, longer, "cpu", 1)


def test_missing_and_unknown_tensors_are_named(tmp_path: Path, tensors: Tensors) -> None:
    wrong = tensors | {"mlp.layers.9.weight": torch.ones(2)}
    del wrong["blip.text_encoder.encoder.layer.1.crossattention.self.key.bias"]
    torch.save(wrong, tmp_path / "ImageReward.pt")
    with pytest.raises(EvaluationError) as caught:
        open_image_reward(tmp_path / "ImageReward.pt", None, None, "cpu", 1)
    assert "missing blip.text_encoder.encoder.layer.1.crossattention.self.key.bias (1 in all)" in str(
        caught.value
    )
    assert "unknown mlp.layers.9.weight (1 in all)" in str(caught.value)


def test_another_model_is_refused(tmp_path: Path) -> None:
    torch.save({"visual.conv1.weight": torch.ones(2, 3, 4, 4)}, tmp_path / "clip.pt")
    with pytest.raises(
        EvaluationError, match=r"is no ImageReward .* it holds no tensor blip\.visual_encoder"
    ):
        open_image_reward(tmp_path / "clip.pt", None, None, "cpu", 1)


def _expected(tensors: Tensors, picture: Image.Image, ids: Sequence[int]) -> float:
    """BLIP's picture encoder (epsilon 1e-6), its text encoder (BERT, 1e-12), the head, all in FP64."""
    w = {name: tensor.double().numpy() for name, tensor in tensors.items()}
    seen = _see(w, picture)
    name = "blip.text_encoder.embeddings"
    rows = (
        w[f"{name}.word_embeddings.weight"][list(ids)] + w[f"{name}.position_embeddings.weight"][: len(ids)]
    )
    rows = _norm(w, f"{name}.LayerNorm", rows, 1e-12)
    for n in range(2):
        layer = f"blip.text_encoder.encoder.layer.{n}"
        for kind in ("attention", "crossattention"):
            source = rows if kind == "attention" else seen
            query = _linear(w, f"{layer}.{kind}.self.query", rows)
            key, value = (_linear(w, f"{layer}.{kind}.self.{part}", source) for part in ("key", "value"))
            mixed = _linear(w, f"{layer}.{kind}.output.dense", _attend(query, key, value))
            rows = _norm(w, f"{layer}.{kind}.output.LayerNorm", rows + mixed, 1e-12)
        hidden = _gelu(_linear(w, f"{layer}.intermediate.dense", rows))
        rows = _norm(
            w, f"{layer}.output.LayerNorm", rows + _linear(w, f"{layer}.output.dense", hidden), 1e-12
        )
    now = rows[:1]
    for place in (0, 2, 4, 6, 7):
        now = _linear(w, f"mlp.layers.{place}", now)
    return (float(now[0, 0]) - 0.16717362830052426) / 1.0333394966054072


def _see(w: Mapping[str, Array], picture: Image.Image) -> Array:
    # 96 by 80 pixels: the shorter side becomes 32, the longer 38, and 3 pixels are cut off on each side.
    small = np.asarray(picture.resize((38, 32), Resampling.BICUBIC))[:, 3:35]
    pixels = (small / 255 - [0.48145466, 0.4578275, 0.40821073]) / [0.26862954, 0.26130258, 0.27577711]
    patches = pixels.reshape(2, PATCH, 2, PATCH, 3).transpose(0, 2, 4, 1, 3).reshape(4, -1)
    name = "blip.visual_encoder"
    kernel = w[f"{name}.patch_embed.proj.weight"].reshape(SEEN, -1)
    rows = np.vstack([w[f"{name}.cls_token"][0], patches @ kernel.T + w[f"{name}.patch_embed.proj.bias"]])
    rows = rows + w[f"{name}.pos_embed"][0]
    for n in range(2):
        block = f"{name}.blocks.{n}"
        parts = np.split(_linear(w, f"{block}.attn.qkv", _norm(w, f"{block}.norm1", rows, 1e-6)), 3, axis=1)
        rows = rows + _linear(w, f"{block}.attn.proj", _attend(*parts))
        hidden = _gelu(_linear(w, f"{block}.mlp.fc1", _norm(w, f"{block}.norm2", rows, 1e-6)))
        rows = rows + _linear(w, f"{block}.mlp.fc2", hidden)
    return _norm(w, f"{name}.norm", rows, 1e-6)


def _attend(query: Array, key: Array, value: Array) -> Array:
    heads = query.shape[1] // 64
    q, k, v = (part.reshape(len(part), heads, 64).swapaxes(0, 1) for part in (query, key, value))
    weights = np.exp(q @ k.swapaxes(1, 2) / 8)
    mixed: Array = (weights / weights.sum(axis=2, keepdims=True) @ v).swapaxes(0, 1).reshape(query.shape)
    return mixed


def _linear(w: Mapping[str, Array], name: str, rows: Array) -> Array:
    mapped: Array = rows @ w[f"{name}.weight"].T + w[f"{name}.bias"]
    return mapped


def _norm(w: Mapping[str, Array], name: str, rows: Array, epsilon: float) -> Array:
    centred = rows - rows.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + epsilon)
    normed: Array = centred / deviation * w[f"{name}.weight"] + w[f"{name}.bias"]
    return normed


_erf: Callable[[Array], Array] = np.vectorize(math.erf)


def _gelu(rows: Array) -> Array:
    return rows * (1 + _erf(rows / 2**0.5)) / 2
