"""The constants of compiled packages, in one safetensors file that all packages of a component share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mixdq.configs.files import writing
from mixdq.configs.package_constants import CHANNELS_LAST


def write_constants(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors so that they can be mapped as they are to be laid out in a GPU's memory.

    Args:
        path: the file.
        tensors: by name.

    Raises:
        StorageError: the disk is full or the folder can't be written.
    """
    turned = sorted(name for name, tensor in tensors.items() if is_channels_last(tensor))
    stored = {
        name: (tensor.permute(0, 2, 3, 1) if name in turned else tensor).detach().cpu().contiguous().clone()
        for name, tensor in tensors.items()
    }
    with writing(path) as temporary:
        save_file(stored, temporary, metadata={CHANNELS_LAST: json.dumps(turned)})
        # safetensors makes files that only their owner can read, and a bundle is served by others.
        temporary.chmod(0o644)


def read_constants(path: Path, device: str) -> dict[str, Tensor]:
    """The tensors that `write_constants` wrote, by name, laid out as they were, on a device."""
    with safe_open(path, "pt", device=device) as file:
        turned = set(json.loads(file.metadata()[CHANNELS_LAST]))
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    return {name: tensor.permute(0, 3, 1, 2) if name in turned else tensor for name, tensor in stored.items()}


def is_channels_last(tensor: Tensor) -> bool:
    """Whether a tensor of four dimensions is laid out channels last, and not contiguous as well."""
    return (
        tensor.ndim == 4
        and not tensor.is_contiguous()
        and tensor.is_contiguous(memory_format=torch.channels_last)
    )
