"""The constants of compiled packages, in one safetensors file that all packages of a component share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from mixdq.configs.files import writing
from mixdq.configs.package_constants import CHANNELS_LAST, SCRATCH


def write_constants(
    path: Path, tensors: Mapping[str, Tensor], scratch: Mapping[str, int] | None = None
) -> None:
    """Writes tensors so that they can be mapped as they are to be laid out in a GPU's memory.

    Args:
        path: the file.
        tensors: by name.
        scratch: what packages take beside them, in bytes, by their files' names; None where it was not
            measured.

    Raises:
        StorageError: the disk is full or the folder can't be written.
    """
    turned = sorted(name for name, tensor in tensors.items() if is_channels_last(tensor))
    stored = {
        name: (tensor.permute(0, 2, 3, 1) if name in turned else tensor).detach().cpu().contiguous().clone()
        for name, tensor in tensors.items()
    }
    with writing(path) as temporary:
        metadata = {CHANNELS_LAST: json.dumps(turned), SCRATCH: json.dumps(dict(scratch or {}))}
        save_file(stored, temporary, metadata=metadata)
        # safetensors makes files that only their owner can read, and a bundle is served by others.
        temporary.chmod(0o644)


def is_channels_last(tensor: Tensor) -> bool:
    """Whether a tensor of four dimensions is laid out channels last, and not contiguous as well."""
    return (
        tensor.ndim == 4
        and not tensor.is_contiguous()
        and tensor.is_contiguous(memory_format=torch.channels_last)
    )
