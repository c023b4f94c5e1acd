"""One name for each tensor, whichever version of a library wrote the file; many names in few words."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CLIP_PREFIX = "text_model."
_OLD_VAE_ATTENTION = re.compile(
    r"((?:en|de)coder\.mid_block\.attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)"
)
_NEW_VAE_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_NO_WEIGHTS = frozenset({"embeddings.position_ids"})
_NAMED = 10


def canonical(name: str) -> str:
    """The name that a tensor is looked up by.

    CLIP's `text_model.` is dropped: transformers 5 has it for one text encoder of SDXL and not for the other,
    older files have it for both. The VAE's attention gets the names that diffusers 0.15 and later give it.
    """
    if old := _OLD_VAE_ATTENTION.fullmatch(name):
        return f"{old[1]}.{_NEW_VAE_ATTENTION[old[2]]}.{old[3]}"
    return name.removeprefix(_CLIP_PREFIX)


def holds_no_weights(name: str) -> bool:
    """Whether a tensor of old files is a constant that the model makes itself."""
    return canonical(name) in _NO_WEIGHTS


def first_names(names: Iterable[str]) -> str:
    """The first ten names, and how many there are."""
    ordered = sorted(names)
    return f"{', '.join(ordered[:_NAMED])} ({len(ordered)} in all)"
