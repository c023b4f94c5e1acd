"""A tiny CLIP against a NumPy computation from open_clip's names, and in each of the forms that are read."""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from PIL.Image import Resampling
from safetensors.torch import save_file

from mixdq.configs.errors import EvaluationError
from mixdq.eval.scorer import TextImageScorer
from mixdq.eval.scorers.clip import open_clip_scorer
from mixdq.eval.scorers.clip_file import read_archive
from mixdq.eval.scorers.clip_form import OPEN_CLIP_CONFIG

WIDTH, PATCH, SIDE, CONTEXT, EMBEDDING = 128, 16, 32, 77, 24
VOCABULARY, START, END = 49408, 49406, 49407
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]

PROMPTS = ("a red circle", "two cats", "a cat", "the night sky", "a red circle")
# CLIP's numbers of these words, as its vocabulary lists them with `</w>`.
WORDS = {
    "a": 320,
    "red": 736,
    "circle": 7117,
    "two": 1237,
    "cats": 3989,
    "cat": 2368,
    "the": 518,
    "night": 930,
}
WORDS |= {"sky": 2390}

Tensors = dict[str, torch.Tensor]
Array = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    """Two layers a tower, two heads each; open_clip's names and shapes."""
    maker = torch.Generator().manual_seed(11)

    def normal(*shape: int, spread: float) -> torch.Tensor:
        return torch.randn(*shape, generator=maker) * spread

    made = {
        "token_embedding.weight": normal(VOCABULARY, WIDTH, spread=0.5),
        "positional_embedding": normal(CONTEXT, WIDTH, spread=0.5),
        "text_projection": normal(WIDTH, EMBEDDING, spread=0.1),
        "logit_scale": torch.tensor(4.6052),
        "visual.class_embedding": normal(WIDTH, spread=0.5),
        "visual.conv1.weight": normal(WIDTH, 3, PATCH, PATCH, spread=0.05),
        "visual.positional_embedding": normal((SIDE // PATCH) ** 2 + 1, WIDTH, spread=0.5),
        "visual.proj": normal(WIDTH, EMBEDDING, spread=0.1),
    }
    blocks = [f"{tower}transformer.resblocks.{n}" for tower in ("", "visual.") for n in range(2)]
    for block in blocks:
        made |= {
            f"{block}.attn.in_proj_weight": normal(3 * WIDTH, WIDTH, spread=0.15),
            f"{block}.attn.in_proj_bias": normal(3 * WIDTH, spread=0.3),
            f"{block}.attn.out_proj.weight": normal(WIDTH, WIDTH, spread=0.1),
            f"{block}.attn.out_proj.bias": normal(WIDTH, spread=0.3),
            f"{block}.mlp.c_fc.weight": normal(2 * WIDTH, WIDTH, spread=0.1),
            f"{block}.mlp.c_fc.bias": normal(2 * WIDTH, spread=0.3),
            f"{block}.mlp.c_proj.weight": normal(WIDTH, 2 * WIDTH, spread=0.1),
            f"{block}.mlp.c_proj.bias": normal(WIDTH, spread=0.3),
        }
    norms = ["ln_final", "visual.ln_pre", "visual.ln_post", *(f"{b}.ln_{n}" for b in blocks for n in (1, 2))]
    for norm in norms:
        made[f"{norm}.weight"] = 1 + normal(WIDTH, spread=0.2)
        made[f"{norm}.bias"] = normal(WIDTH, spread=0.2)
    return made


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, tensors: Tensors) -> Path:
    """A state dict without a configuration."""
    path = tmp_path_factory.mktemp("clip") / "clip.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tensors: Tensors) -> Path:
    """The same in the layout of openai/clip-vit-large-patch14, by transformers' own writer."""
    from transformers import CLIPConfig, CLIPModel

    made = tmp_path_factory.mktemp("transformers")
    tower = {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = CLIPConfig(
        text_config=tower,
        vision_config=tower | {"image_size": SIDE, "patch_size": PATCH},
        projection_dim=EMBEDDING,
    )
    with torch.device("meta"):
        model = CLIPModel(config)
    state = {name: _as_transformers(name, tensors).contiguous() for name in model.state_dict()}
    model.load_state_dict(state, assign=True)
    model.save_pretrained(made)
    (made / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": MEAN, "image_std": STD, "resample": 3, "size": SIDE})
    )
    return made


@pytest.mark.parametrize("quick_gelu", [True, False])
def test_scores_agree_with_a_computation_from_the_published_names(
    file: Path, tensors: Tensors, pictures: tuple[Image.Image, ...], quick_gelu: bool
) -> None:
    scorer: TextImageScorer = open_clip_scorer(file, "cpu", batch=2, quick_gelu=quick_gelu)
    found = scorer.score(pictures, PROMPTS)
    assert found.dtype == np.float64
    assert found == pytest.approx(_expected(tensors, pictures, PROMPTS, quick_gelu), abs=1e-5)


def test_the_activation_matters(file: Path, pictures: tuple[Image.Image, ...]) -> None:
    # Otherwise the comparison above could not tell one from the other.
    one, other = (
        open_clip_scorer(file, "cpu", 8, quick_gelu=q).score(pictures, PROMPTS) for q in (True, False)
    )
    assert np.abs(one - other).max() > 1e-4


def test_a_score_does_not_depend_on_the_batch_and_repeats_to_the_last_digit(
    file: Path, pictures: tuple[Image.Image, ...]
) -> None:
    whole, again, single = (
        open_clip_scorer(file, "cpu", batch, quick_gelu=True).score(pictures, PROMPTS) for batch in (8, 8, 1)
    )
    assert np.array_equal(whole, again)
    assert whole == pytest.approx(single, abs=1e-6)


def test_half_precision_weights_are_read(
    tmp_path: Path, tensors: Tensors, pictures: tuple[Image.Image, ...]
) -> None:
    half = {name: tensor.half() for name, tensor in tensors.items()}
    torch.save(half, tmp_path / "half.pt")
    found = open_clip_scorer(tmp_path / "half.pt", "cpu", 8, quick_gelu=True).score(pictures, PROMPTS)
    assert found == pytest.approx(_expected(half, pictures, PROMPTS, quick_gelu=True), abs=1e-5)


def test_a_transformers_folder_scores_as_the_state_dict(
    file: Path, folder: Path, pictures: tuple[Image.Image, ...]
) -> None:
    found = open_clip_scorer(folder, "cpu", 8)
    expected = open_clip_scorer(file, "cpu", 8, quick_gelu=True)
    assert found.score(pictures, PROMPTS) == pytest.approx(expected.score(pictures, PROMPTS), abs=1e-6)
    assert found.name == expected.name == "CLIP ViT-(width 128)/16@32"


def test_the_end_token_of_old_configurations_is_known_to_be_wrong(
    tmp_path: Path, file: Path, folder: Path, pictures: tuple[Image.Image, ...]
) -> None:
    # OpenAI's own repositories say 2, and repeat some sizes; the end is the largest number of a prompt.
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    sizes = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers")
    config["text_config_dict"] = {name: config["text_config"][name] for name in sizes}
    for part in folder.iterdir():
        (tmp_path / part.name).symlink_to(part)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(config))
    expected = open_clip_scorer(file, "cpu", 8, quick_gelu=True).score(pictures, PROMPTS)
    assert open_clip_scorer(tmp_path, "cpu", 8).score(pictures, PROMPTS) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "siglip"}, "of type siglip, not clip"),
        ({"model_type": "clip", "vision_config": {"patch_size": "small"}}, "describes no CLIP"),
    ],
)
def test_a_folder_of_another_model_is_refused(
    tmp_path: Path, folder: Path, config: object, words: str
) -> None:
    for part in folder.iterdir():
        if part.name != "config.json":
            (tmp_path / part.name).symlink_to(part)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(EvaluationError, match=words):
        open_clip_scorer(tmp_path, "cpu", 8)


def test_the_configuration_beside_a_state_dict_gives_activation_and_normalization(
    tmp_path: Path, tensors: Tensors, pictures: tuple[Image.Image, ...]
) -> None:
    # LAION's ViT-L/14 is normalized so, and has the plain GELU.
    half = [0.5, 0.5, 0.5]
    config = {
        "model_cfg": {"embed_dim": EMBEDDING, "vision_cfg": {"width": WIDTH}, "text_cfg": {"width": WIDTH}},
        "preprocess_cfg": {"mean": half, "std": half},
    }
    (tmp_path / OPEN_CLIP_CONFIG).write_text(json.dumps(config))
    torch.save(tensors, tmp_path / "open_clip_pytorch_model.bin")
    found = open_clip_scorer(tmp_path / "open_clip_pytorch_model.bin", "cpu", 8).score(pictures, PROMPTS)
    expected = _expected(tensors, pictures, PROMPTS, quick_gelu=False, mean=half, std=half)
    assert found == pytest.approx(expected, abs=1e-5)


def test_without_a_configuration_the_activation_is_not_guessed(file: Path) -> None:
    with pytest.raises(EvaluationError, match=r"nothing says which activation .* open_clip_config\.json"):
        open_clip_scorer(file, "cpu", 8)


@pytest.mark.parametrize(
    ("model", "preparation", "words"),
    [
        ({"vision_cfg": {"pool_type": "avg"}}, {}, "vision_cfg sets pool_type"),
        ({"text_cfg": {"hf_model_name": "bert"}}, {}, "text_cfg sets hf_model_name"),
        ({}, {"resize_mode": "squash"}, "resize mode squash"),
        ({}, {"mean": [0.5]}, r"mean of .* is \[0\.5\], not three numbers"),
        ({"vision_cfg": 3}, {}, "vision_cfg is no group of settings"),
    ],
)
def test_a_clip_of_another_form_is_refused(
    tmp_path: Path, file: Path, model: object, preparation: object, words: str
) -> None:
    (tmp_path / "clip.safetensors").symlink_to(file)
    (tmp_path / OPEN_CLIP_CONFIG).write_text(json.dumps({"model_cfg": model, "preprocess_cfg": preparation}))
    with pytest.raises(EvaluationError, match=words):
        open_clip_scorer(tmp_path / "clip.safetensors", "cpu", 8)


def test_missing_and_unknown_tensors_are_named_as_in_the_file(tmp_path: Path, tensors: Tensors) -> None:
    wrong = dict(tensors) | {"visual.head.weight": torch.ones(2)}
    del wrong["transformer.resblocks.1.attn.in_proj_bias"]
    torch.save(wrong, tmp_path / "clip.pt")
    with pytest.raises(EvaluationError) as caught:
        open_clip_scorer(tmp_path / "clip.pt", "cpu", 8, quick_gelu=True)
    assert "missing transformer.resblocks.1.attn.in_proj_bias (1 in all)" in str(caught.value)
    assert "unknown visual.head.weight (1 in all)" in str(caught.value)


def test_another_model_is_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.ones(2)}, tmp_path / "alexnet.pt")
    with pytest.raises(EvaluationError, match=r"is no CLIP .* it holds no tensor visual\.conv1\.weight"):
        open_clip_scorer(tmp_path / "alexnet.pt", "cpu", 8, quick_gelu=True)


@pytest.mark.parametrize("missing", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_an_incomplete_folder_is_refused(tmp_path: Path, folder: Path, missing: str) -> None:
    for part in folder.iterdir():
        if part.name != missing:
            (tmp_path / part.name).symlink_to(part)
    with pytest.raises(EvaluationError, match=rf"holds (no|neither) .*{missing}.*hf download openai"):
        open_clip_scorer(tmp_path, "cpu", 8)


def test_damaged_weights_give_no_score(
    tmp_path: Path, tensors: Tensors, pictures: tuple[Image.Image, ...]
) -> None:
    torch.save(tensors | {"visual.proj": torch.full((WIDTH, EMBEDDING), math.nan)}, tmp_path / "clip.pt")
    scorer = open_clip_scorer(tmp_path / "clip.pt", "cpu", 8, quick_gelu=True)
    with pytest.raises(EvaluationError, match="not finite"):
        scorer.score(pictures, PROMPTS)


def test_an_archive_with_code_is_opened_only_if_it_is_openais(tmp_path: Path) -> None:
    path = tmp_path / "ViT-L-14.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 3), torch.ones(1, 2)), path)  # type: ignore[no-untyped-call]
    with pytest.raises(
        EvaluationError, match=r"is none of OpenAI's \(ViT-B-32\.pt, .*\), so it is not opened"
    ):
        open_clip_scorer(path, "cpu", 8)
    assert {name: tuple(tensor.shape) for name, tensor in read_archive(path).items()} == {
        "weight": (3, 2),
        "bias": (3,),
    }


def _as_transformers(name: str, tensors: Tensors) -> torch.Tensor:
    """One tensor by transformers' name, written out the other way round than the loader does it."""
    if name == "logit_scale":
        return tensors[name]
    if name.endswith("_projection.weight"):
        return tensors["visual.proj" if name.startswith("visual") else "text_projection"].T
    tower = "visual." if name.startswith("vision") else ""
    parts = name.split(".")
    if "layers" not in parts:
        single = {
            "token_embedding": "token_embedding.weight",
            "position_embedding": f"{tower}positional_embedding",
            "class_embedding": "visual.class_embedding",
            "patch_embedding": "visual.conv1.weight",
            "pre_layrnorm": f"visual.ln_pre.{parts[-1]}",
            "post_layernorm": f"visual.ln_post.{parts[-1]}",
            "final_layer_norm": f"ln_final.{parts[-1]}",
        }
        return tensors[single[next(part for part in parts if part in single)]]
    block, kind = f"{tower}transformer.resblocks.{parts[3]}.", parts[-1]
    if parts[5] in ("q_proj", "k_proj", "v_proj"):
        start = WIDTH * "qkv".index(parts[5][0])
        return tensors[f"{block}attn.in_proj_{kind}"][start : start + WIDTH]
    inner = {"fc1": "mlp.c_fc", "fc2": "mlp.c_proj", "out_proj": "attn.out_proj"}.get(parts[5])
    return tensors[f"{block}{inner or f'ln_{parts[4][-1]}'}.{kind}"]


def _expected(
    tensors: Tensors,
    pictures: Sequence[Image.Image],
    prompts: Sequence[str],
    quick_gelu: bool,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
) -> list[float]:
    words = "token_embedding.weight"
    w = {name: tensor.double().numpy() for name, tensor in tensors.items() if name != words}
    w[words] = tensors[words].numpy()
    found = []
    for picture, prompt in zip(pictures, prompts, strict=True):
        seen, read = _see(w, picture, quick_gelu, mean, std), _read(w, prompt, quick_gelu)
        found.append(float(seen @ read / np.linalg.norm(seen) / np.linalg.norm(read)))
    return found


def _see(
    w: Mapping[str, Array], picture: Image.Image, quick: bool, mean: Sequence[float], std: Sequence[float]
) -> Array:
    # 96 by 80 pixels: the shorter side becomes 32, the longer 38, and 3 pixels are cut off on each side.
    small = np.asarray(picture.resize((38, 32), Resampling.BICUBIC))[:, 3:35]
    pixels = (small / 255 - mean) / std
    patches = pixels.reshape(2, PATCH, 2, PATCH, 3).transpose(0, 2, 4, 1, 3).reshape(4, -1)
    rows = np.vstack([w["visual.class_embedding"], patches @ w["visual.conv1.weight"].reshape(WIDTH, -1).T])
    rows = _norm(w, "visual.ln_pre", rows + w["visual.positional_embedding"])
    for n in range(2):
        rows = _block(w, f"visual.transformer.resblocks.{n}", rows, quick, np.zeros((5, 5)))
    seen: Array = _norm(w, "visual.ln_post", rows[:1])[0] @ w["visual.proj"]
    return seen


def _read(w: Mapping[str, Array], prompt: str, quick: bool) -> Array:
    ids = [START, *(WORDS[word] for word in prompt.split()), END]
    rows = w["token_embedding.weight"][ids] + w["positional_embedding"][: len(ids)]
    future = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
    for n in range(2):
        rows = _block(w, f"transformer.resblocks.{n}", rows, quick, future)
    read: Array = _norm(w, "ln_final", rows)[-1] @ w["text_projection"]
    return read


def _block(w: Mapping[str, Array], name: str, rows: Array, quick: bool, mask: Array) -> Array:
    normed = (
        _norm(w, f"{name}.ln_1", rows) @ w[f"{name}.attn.in_proj_weight"].T + w[f"{name}.attn.in_proj_bias"]
    )
    query, key, value = (
        part.reshape(len(rows), 2, 64).swapaxes(0, 1) for part in np.split(normed, 3, axis=1)
    )
    weights = np.exp(query @ key.swapaxes(1, 2) / 8 + mask)
    mixed = (weights / weights.sum(axis=2, keepdims=True) @ value).swapaxes(0, 1).reshape(len(rows), WIDTH)
    rows = rows + mixed @ w[f"{name}.attn.out_proj.weight"].T + w[f"{name}.attn.out_proj.bias"]
    hidden = _norm(w, f"{name}.ln_2", rows) @ w[f"{name}.mlp.c_fc.weight"].T + w[f"{name}.mlp.c_fc.bias"]
    gate = 1 / (1 + np.exp(-1.702 * hidden)) if quick else (1 + np.vectorize(math.erf)(hidden / 2**0.5)) / 2
    return rows + (hidden * gate) @ w[f"{name}.mlp.c_proj.weight"].T + w[f"{name}.mlp.c_proj.bias"]


def _norm(w: Mapping[str, Array], name: str, rows: Array) -> Array:
    centred = rows - rows.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    normed: Array = centred / deviation * w[f"{name}.weight"] + w[f"{name}.bias"]
    return normed
