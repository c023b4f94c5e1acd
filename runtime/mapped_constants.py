"""The constants of packages: a safetensors file, mapped and laid out as the packages' code expects."""

from __future__ import annotations

import json
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixdq.configs.errors import BundleError
from mixdq.configs.package_constants import CHANNELS_LAST

_LENGTH_BYTES = 8
_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def map_constants(torch: Any, paths: Sequence[Path], device: str) -> dict[str, Any]:
    """All tensors of safetensors files on a device, by name; those of a device are copied one at a time.

    Args:
        torch: the module.
        paths: the files.
        device: torch's name of it.

    Raises:
        BundleError: a file does not have the form of one.
        torch.cuda.OutOfMemoryError: the GPU's memory ran out.
    """
    tensors: dict[str, Any] = {}
    for path in paths:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        try:
            tensors.update(_tensors(torch, content, device))
        except torch.cuda.OutOfMemoryError:
            raise
        except (ValueError, KeyError, RuntimeError) as error:
            raise BundleError(
                f"{path} is no file of constants that mixdq wrote ({error}); build the bundle again"
            ) from error
    return tensors


def _tensors(torch: Any, content: mmap.mmap, device: str) -> dict[str, Any]:
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    start = _LENGTH_BYTES + length
    header = json.loads(content[_LENGTH_BYTES:start])
    turned = set(json.loads(header.pop("__metadata__", {}).get(CHANNELS_LAST, "[]")))
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        dtype = getattr(torch, _TYPES[entry["dtype"]])
        count = (end - begin) // dtype.itemsize
        flat = (
            torch.frombuffer(content, dtype=dtype, count=count, offset=start + begin)
            if count
            else torch.empty(0, dtype=dtype)
        )
        tensor = flat.reshape(entry["shape"]).to(device)
        tensors[name] = tensor.permute(0, 3, 1, 2) if name in turned else tensor
    return tensors
