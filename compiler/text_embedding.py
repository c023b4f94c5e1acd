"""The text embedding of a bundle's own encoders, in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixdq.compiler.recipe import read_prompts
from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.presets import preset_for
from mixdq.configs.target import Backend

_PROMPTS = 8


def shown_prompts(model: str) -> tuple[str, ...]:
    """The prompts whose embeddings are shown: the first eight of the model's preset."""
    return read_prompts(preset_for(model).prompts_file, _PROMPTS)


def embed(root: Path, bundle: Bundle, prompts: Sequence[str]) -> npt.NDArray[np.float32] | None:
    """The text embedding `[prompts, tokens, channels]`; None if the bundle has no engines for `cpu`.

    Raises:
        DigestError: an encoder or a tokenizer was changed since it was built.
    """
    if not any(engine.target == Backend.CPU for engine in bundle.engines):
        return None
    encoders = (Component.TEXT_ENCODER, Component.TEXT_ENCODER_2)
    hidden = [_encode(root, bundle, index, encoder, prompts) for index, encoder in enumerate(encoders)]
    return np.concatenate(hidden, axis=-1)


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
