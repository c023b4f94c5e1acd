"""What a CLIP's tensors don't say: its activation, and how its pictures were normalized."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import read_json
from mixdq.configs.errors import EvaluationError
from mixdq.eval.scorers.pixels import CLIP_MEAN, CLIP_STD

OPEN_CLIP_CONFIG = "open_clip_config.json"

OPENAI_SHA256 = {
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af": "ViT-B-32.pt",
    "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f": "ViT-B-16.pt",
    "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836": "ViT-L-14.pt",
    "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02": "ViT-L-14-336px.pt",
}
"""OpenAI's own files by digest, as their addresses state it."""

_KNOWN = {
    "model_cfg": {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"},
    "vision_cfg": {"image_size", "layers", "width", "head_width", "patch_size", "mlp_ratio"},
    "text_cfg": {"context_length", "vocab_size", "width", "heads", "layers"},
    "preprocess_cfg": {"mean", "std", "interpolation", "resize_mode", "size", "mode", "fill_color"},
}


@dataclass(frozen=True, slots=True)
class ClipForm:
    """The part of a CLIP that is not in its tensors.

    Attributes:
        quick_gelu: x * sigmoid(1.702 x) (OpenAI, MetaCLIP, DFN) instead of GELU (LAION, DataComp).
        mean: of the training pictures by channel; LAION's ViT-L/14 has 0.5 for all three.
        std: likewise.
    """

    quick_gelu: bool
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD


def read_form(path: Path, sha256: str, quick_gelu: bool | None) -> ClipForm:
    """The form of the CLIP in a file, from what is known about it; nothing is guessed.

    In this order: the caller says it; the digest is one of OpenAI's; `open_clip_config.json` beside the file,
    which every repository of open_clip weights on the hub has.

    Args:
        path: the weight file.
        sha256: its digest.
        quick_gelu: the caller's word, together with OpenAI's mean and deviation; None if it has none.

    Raises:
        EvaluationError: nothing says it, or the configuration describes another kind of CLIP.
    """
    if quick_gelu is not None:
        return ClipForm(quick_gelu)
    if sha256 in OPENAI_SHA256:
        return ClipForm(quick_gelu=True)
    config = path.with_name(OPEN_CLIP_CONFIG)
    if not config.is_file():
        raise EvaluationError(
            f"nothing says which activation and normalization {path} was trained with; the tensors can't; "
            f"put the {OPEN_CLIP_CONFIG} of its repository beside it, or use OpenAI's ViT-L-14.pt or a "
            "transformers folder"
        )
    return _from_open_clip(config)


def _from_open_clip(path: Path) -> ClipForm:
    document = read_json(dict[str, object], path, EvaluationError)
    model, preparation = _part(document, "model_cfg", path), _part(document, "preprocess_cfg", path)
    for name in ("vision_cfg", "text_cfg"):
        _part(model, name, path)
    given = (preparation.get("interpolation", "bicubic"), preparation.get("resize_mode", "shortest"))
    if given != ("bicubic", "shortest"):
        raise EvaluationError(
            f"{path} prepares pictures by {given[0]} interpolation and resize mode {given[1]}; only bicubic "
            "and shortest are supported: use another CLIP"
        )
    return ClipForm(
        model.get("quick_gelu") is True,
        triple(preparation.get("mean", CLIP_MEAN), f"mean of {path}"),
        triple(preparation.get("std", CLIP_STD), f"std of {path}"),
    )


def triple(value: object, what: str) -> tuple[float, float, float]:
    """One number a channel.

    Raises:
        EvaluationError: the value is something else.
    """
    if not isinstance(value, list | tuple) or [type(entry) for entry in value] != [float] * 3:
        raise EvaluationError(f"the {what} is {value}, not three numbers; download the file again")
    red, green, blue = value
    return red, green, blue


def _part(document: Mapping[str, object], name: str, path: Path) -> Mapping[str, object]:
    part = document.get(name, {})
    if not isinstance(part, dict):
        raise EvaluationError(f"{path}: {name} is no group of settings; download the file again")
    if strange := sorted(set(part) - _KNOWN[name]):
        raise EvaluationError(
            f"{path} describes a CLIP that is not OpenAI's plain vision transformer: {name} sets "
            f"{', '.join(strange)}; use ViT-B/32, B/16, L/14, H/14, g/14 or bigG/14"
        )
    return part
