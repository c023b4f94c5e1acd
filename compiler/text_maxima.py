"""How far each token of the text embedding reaches: the BOS outlier, measured on a bundle's encoders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import RenderableType

from mixdq.compiler.recipe import read_prompts
from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.presets import preset_for
from mixdq.configs.target import Backend

_PROMPTS = 8
_SHOWN = 8


def show_maxima(root: Path, bundle: Bundle) -> Iterator[RenderableType]:
    """Absolute maxima of the first tokens and of the rest, means over eight prompts."""
    if not any(engine.target == Backend.CPU for engine in bundle.engines):
        yield "text embedding: not measured, the bundle has no engines for cpu"
        return
    yield in_words(token_maxima(root, bundle, shown_prompts(bundle.model.name)))


def shown_prompts(model: str) -> tuple[str, ...]:
    """The prompts whose embeddings are shown: the first eight of the model's preset."""
    return read_prompts(preset_for(model).prompts_file, _PROMPTS)


def in_words(maxima: npt.NDArray[np.float64]) -> str:
    """The maxima of the first tokens, and how far token 0 stands out."""
    first = ", ".join(f"{value:.2f}" for value in maxima[:_SHOWN])
    rest = float(maxima[1:].max())
    return (
        f"text embedding, absolute maximum of each token, mean over {_PROMPTS} prompts: {first}, …; "
        f"token 0 reaches {maxima[0] / rest:.1f} times the largest of the others ({rest:.2f})"
    )


def mean_maxima(embeddings: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Embeddings `[prompts, tokens, channels]` to one absolute maximum a token, mean over the prompts."""
    return np.asarray(np.abs(embeddings).max(axis=-1).mean(axis=0), dtype=np.float64)


def token_maxima(root: Path, bundle: Bundle, prompts: Sequence[str]) -> npt.NDArray[np.float64]:
    """Per token the absolute maximum over the channels, mean over the prompts: `[tokens]`.

    Raises:
        DigestError: an encoder or a tokenizer was changed since it was built.
    """
    encoders = (Component.TEXT_ENCODER, Component.TEXT_ENCODER_2)
    hidden = [_encode(root, bundle, index, encoder, prompts) for index, encoder in enumerate(encoders)]
    return mean_maxima(np.concatenate(hidden, axis=-1))


def _encode(
    root: Path, bundle: Bundle, index: int, encoder: Component, prompts: Sequence[str]
) -> npt.NDArray[np.float32]:
    import onnxruntime
    from tokenizers import Tokenizer

    spec = bundle.pipeline
    tokenizer = Tokenizer.from_file(str(bundle.tokenizers[index].check(root)))
    tokenizer.enable_truncation(spec.max_tokens)
    tokenizer.enable_padding(length=spec.max_tokens, pad_id=spec.pad_token_ids[index])
    engine = bundle.find(encoder, Backend.CPU, bundle.resolutions[0])
    for weights in engine.weights:
        weights.check(root)
    session = onnxruntime.InferenceSession(engine.file.check(root), providers=["CPUExecutionProvider"])
    rows = []
    for prompt in prompts:
        ids = np.tile(np.asarray(tokenizer.encode(prompt).ids, dtype=np.int64), (bundle.batch, 1))
        rows.append(session.run(["hidden_states"], {engine.inputs[0].name: ids})[0][:1])
    return np.concatenate(rows)
