"""A LoRA file for SDXL's UNet: which weights it changes, and by what."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from mixdq.configs.errors import ModelError
from mixdq.export.weights.lora_factor import find_factor, read_metadata
from mixdq.export.weights.names import first_names
from mixdq.export.weights.tensor_file import READABLE, TensorFile, check_finite

if TYPE_CHECKING:  # what only opens a source starts faster without torch
    from torch import Tensor

_DOWN, _UP, _ALPHA = ".lora_A.weight", ".lora_B.weight", ".alpha"
_REFUSED = {
    "DoRA": re.compile(r"dora_scale|lora_magnitude_vector"),
    "changes to the text encoders": re.compile(r"^(lora_te\d?_|text_encoder)"),
    "LoRAs with biases": re.compile(r"lora_[AB]\.bias$|lora_(up|down)\.bias$"),
}
_A_KIND = "give a LoRA that was made for SDXL, with kohya's, PEFT's or diffusers' names"


@dataclass(frozen=True, slots=True)
class Update:
    """What a LoRA adds to one weight: `factor * up @ down`.

    Attributes:
        file: the LoRA.
        down: the name of the tensor `[rank, in, …]` in the file.
        up: the name of the tensor `[out, rank, …]` in the file.
        factor: alpha / rank; for a rank-stabilized LoRA alpha / sqrt(rank).
    """

    file: TensorFile
    down: str
    up: str
    factor: float

    def add_to(self, weight: Tensor, scale: float) -> None:
        """Adds `scale` times the update to a weight in FP32, in place.

        Raises:
            ModelError: the LoRA holds NaN or infinity.
        """
        down, up = (self._matrix(name) for name in (self.down, self.up))
        weight.view(weight.shape[0], -1).addmm_(up, down, alpha=self.factor * scale)

    def _matrix(self, name: str) -> Tensor:
        values = self.file.view(name)
        check_finite(values, name, self.file.path)
        return in_fp32(values).view(values.shape[0], -1)


def in_fp32(values: npt.NDArray[Any]) -> Tensor:
    """A copy in FP32. Torch converts halves several times faster than NumPy, and knows no BF16 of NumPy's."""
    import torch

    if values.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(values.view(np.int16).copy()).view(torch.bfloat16).float()
    return torch.from_numpy(values.copy()).float()


def read_lora(
    path: Path, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Update]:
    """What a LoRA changes, by the names of the UNet's weights; reads no weights.

    Args:
        path: a safetensors file with kohya's, PEFT's or diffusers' names.
        config: the UNet's configuration.
        shapes: the shapes of the UNet's weights.

    Raises:
        ModelError: it is no LoRA for this UNet, or changes something that mixdq can't fuse; the first ten
            tensors are named.
    """
    file = TensorFile(path)
    if not any("lora" in name.lower() for name in file.tensors):
        raise ModelError(
            f"{path} is no LoRA: none of its tensors is called one ({first_names(file.tensors)}); {_A_KIND}"
        )
    for what, pattern in _REFUSED.items():
        if found := [name for name in file.tensors if pattern.search(name)]:
            raise ModelError(
                f"{path}: mixdq fuses plain LoRAs into the UNet, not {what}: {first_names(found)}; "
                "train or extract a LoRA of the UNet alone"
            )
    stored, alphas = _diffusers_names(file, config)
    modules = [name.removesuffix(_DOWN) for name in stored if name.endswith(_DOWN)]
    _check_names(path, stored, modules, shapes)
    pairs = {module: (stored[f"{module}{_DOWN}"], stored[f"{module}{_UP}"]) for module in modules}
    _check_shapes(file, pairs, shapes)
    _check_types(file, pairs)
    metadata = read_metadata(file)
    return {
        f"{module}.weight": Update(
            file, down, up, find_factor(path, module, file.tensors[down].shape[0], alphas, metadata)
        )
        for module, (down, up) in pairs.items()
    }


def _check_names(
    path: Path, stored: Mapping[str, str], modules: list[str], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    halves = {end: {name.removesuffix(end) for name in stored if name.endswith(end)} for end in (_DOWN, _UP)}
    widowed = [
        f"{stored[f'{module}{end}']} without its {other.split('.')[1]}"
        for end, other in ((_DOWN, _UP), (_UP, _DOWN))
        for module in halves[end] - halves[other]
        if f"{module}.weight" in shapes
    ]
    if widowed:
        raise ModelError(f"{path} has half of a LoRA: {first_names(widowed)}; download or save it again")
    fitting = [module for module in modules if f"{module}.weight" in shapes]
    known = {f"{module}{end}" for module in fitting for end in (_DOWN, _UP, _ALPHA)}
    unmatched = [original for name, original in stored.items() if name not in known]
    if unmatched or not modules:
        what = f"no layer for {first_names(unmatched)}" if unmatched else "no LoRA in it"
        raise ModelError(f"{path} does not fit the UNet: there is {what}; {_A_KIND}")


def _check_shapes(
    file: TensorFile, pairs: Mapping[str, tuple[str, str]], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    clashes = []
    for module, names in pairs.items():
        weight, (down, up) = shapes[f"{module}.weight"], (file.tensors[name].shape for name in names)
        if not _fits(down, up, weight):
            clashes.append(f"{module} {list(down)} and {list(up)} for {list(weight)}")
    if clashes:
        raise ModelError(
            f"{file.path} does not fit the UNet: wrongly shaped {first_names(clashes)}; "
            "give a LoRA that was made for this architecture"
        )


def _check_types(file: TensorFile, pairs: Mapping[str, tuple[str, str]]) -> None:
    kinds = {name: file.tensors[name].kind for pair in pairs.values() for name in pair}
    if other := [f"{name} {kind}" for name, kind in kinds.items() if kind not in READABLE]:
        raise ModelError(
            f"{file.path} holds {first_names(other)}; mixdq reads {', '.join(READABLE)}: "
            "save the LoRA in one of these types"
        )


def _diffusers_names(
    file: TensorFile, config: Mapping[str, Any]
) -> tuple[dict[str, str], Mapping[str, float]]:
    """The stored names by PEFT's names in diffusers' UNet, and the alphas by module."""
    import torch
    from diffusers.loaders import StableDiffusionXLLoraLoaderMixin
    from diffusers.utils import convert_unet_state_dict_to_peft

    # Alphas are values that the converter reads; the rest needs no values to be renamed.
    tensors = {
        name: torch.tensor(float(file.view(name).reshape(-1)[0]))
        if name.endswith(_ALPHA) and math.prod(tensor.shape) == 1
        else torch.empty(tensor.shape, device="meta")
        for name, tensor in file.tensors.items()
    }
    names = {id(tensor): name for name, tensor in tensors.items()}
    try:
        state, alphas = StableDiffusionXLLoraLoaderMixin.lora_state_dict(
            dict(tensors), unet_config=SimpleNamespace(**config)
        )
    # What diffusers' converter raises on names that it doesn't know.
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        raise ModelError(
            f"{file.path}: its names are none that diffusers knows for a LoRA of SDXL "
            f"({first_names(file.tensors)}); give one with kohya's, PEFT's or diffusers' names"
        ) from error
    plain = convert_unet_state_dict_to_peft(
        {name.removeprefix("unet."): each for name, each in state.items()}
    )
    found = {_module(name): value for name, value in (alphas or {}).items()}
    found |= {
        name.removesuffix(_ALPHA): tensor.item() for name, tensor in plain.items() if name.endswith(_ALPHA)
    }
    return {name: names[id(tensor)] for name, tensor in plain.items()}, found


def _module(alpha_name: str) -> str:
    """The layer of one of the converter's alphas, which it names in two ways."""
    from diffusers.utils import convert_unet_state_dict_to_peft

    name = alpha_name.removeprefix("unet.").removesuffix(_ALPHA)
    return str(next(iter(convert_unet_state_dict_to_peft({name: None})))).removesuffix(_DOWN)


def _fits(down: tuple[int, ...], up: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    return (
        min(len(down), len(up)) >= 2
        and up[0] == weight[0]
        and down[0] == up[1] > 0
        and math.prod(up[2:]) == 1
        and math.prod(down[1:]) == math.prod(weight[1:])
    )
