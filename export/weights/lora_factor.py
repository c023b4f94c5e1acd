"""What a LoRA's product is multiplied by: alpha over rank, from its tensors or from its header."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixdq.configs.errors import ModelError
from mixdq.export.weights.tensor_file import TensorFile

_METADATA = "lora_adapter_metadata"


def read_metadata(file: TensorFile) -> Mapping[str, Any]:
    """What diffusers writes of PEFT's configuration into the header; empty in other files.

    Raises:
        ModelError: it is no JSON object.
    """
    try:
        found = json.loads(file.metadata.get(_METADATA, "{}"))
        return {key.removeprefix("unet."): value for key, value in found.items() if key.startswith("unet.")}
    except (ValueError, AttributeError) as error:
        raise ModelError(f"{file.path}: the {_METADATA} of its header is malformed; save it again") from error


def find_factor(
    path: Path, module: str, rank: int, alphas: Mapping[str, float], metadata: Mapping[str, Any]
) -> float:
    """The factor of one layer: alpha / rank, or of a rank-stabilized LoRA alpha / sqrt(rank).

    Args:
        path: the LoRA, for messages.
        module: the layer, by PEFT's name.
        rank: its rank.
        alphas: of the file's tensors; a layer without one takes the header's, or its rank.
        metadata: see `read_metadata`.

    Raises:
        ModelError: alpha is no finite number.
    """
    alpha: Any = None
    try:
        alpha = alphas.get(module, metadata.get("lora_alpha", rank))
        for pattern, value in (metadata.get("alpha_pattern") or {}).items():
            if re.fullmatch(rf"(.*\.)?({pattern})", module):
                alpha = value
                break
        if not math.isfinite(number := float(alpha)):
            raise ValueError(f"{number} is not finite")
    # Whatever JSON holds instead of numbers and of a table of expressions.
    except (ValueError, TypeError, AttributeError, re.error) as error:
        raise ModelError(
            f"{path}: the alpha of {module} is no finite number ({alpha!r}: {error}); save the LoRA again"
        ) from error
    return number / (math.sqrt(rank) if metadata.get("use_rslora") else rank)
