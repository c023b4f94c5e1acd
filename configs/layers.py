"""The quantizable layers of a UNet: names, kinds, roles, groups, shapes and costs (`layers.json`)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, NewType

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json, to_plain
from mixdq.configs.errors import ModelError
from mixdq.configs.files import sha256_of_text, write_text

LayerName = NewType("LayerName", str)
"""A module's diffusers path inside the UNet: `down_blocks.1.attentions.0.proj_in`."""


class Kind(StrEnum):
    """The module type of a quantizable layer."""

    LINEAR = "linear"
    CONVOLUTION = "convolution"


class Role(StrEnum):
    """What a layer does in the UNet; the paper's five types (appendix D)."""

    CROSS_ATTENTION = "cross-attention"
    FEED_FORWARD = "feed-forward"
    SELF_ATTENTION = "self-attention"
    CONVOLUTION = "convolution"
    OTHER = "other"


class Group(StrEnum):
    """What a layer's precision mostly influences: image content or image quality (paper, section 3.2)."""

    CONTENT = "content"
    QUALITY = "quality"


def parse_layer_name(text: str) -> LayerName:
    """A layer name without the `model.` or `unet.` that some tools put before it."""
    return LayerName(text.removeprefix("model.").removeprefix("unet."))


@dataclass(frozen=True, slots=True, config=STRICT)
class ModelIdentity:
    """Which model a file was made from.

    Attributes:
        name: the folder's name; of a hub id, the part behind the slash.
        digest: SHA-256 over the configurations and weights of all components, and the tokenizers.
    """

    name: str
    digest: str


@dataclass(frozen=True, slots=True, config=STRICT)
class LayerSpec:
    """One quantizable layer.

    Attributes:
        name: the module's path.
        kind: linear or convolution.
        weight_shape: `(out, in)` or `(out, in, height, width)`.
        has_bias: whether the layer adds a bias.
        split: channels of the first half, if the input is an up-block's concatenation that the
            shortcut split (paper, section 4.1) divides; else None.
        macs: multiply-accumulates of one image, by resolution in pixels.
    """

    name: LayerName
    kind: Kind
    weight_shape: tuple[int, ...]
    has_bias: bool
    split: int | None
    macs: Mapping[int, int]

    @property
    def role(self) -> Role:
        """The layer's role, by the components of its name."""
        parts = self.name.split(".")
        if "attn2" in parts:
            return Role.CROSS_ATTENTION
        if "ff" in parts:
            return Role.FEED_FORWARD
        if "attn1" in parts:
            return Role.SELF_ATTENTION
        return Role.CONVOLUTION if self.kind is Kind.CONVOLUTION else Role.OTHER

    @property
    def group(self) -> Group:
        """Content (cross-attention and feed-forward) or quality (everything else)."""
        content = self.role in (Role.CROSS_ATTENTION, Role.FEED_FORWARD)
        return Group.CONTENT if content else Group.QUALITY

    @property
    def reads_text(self) -> bool:
        """Whether the layer's input is the text embedding: cross-attention's K and V projections."""
        return self.name.endswith((".attn2.to_k", ".attn2.to_v"))

    @property
    def weights(self) -> int:
        """Number of weights, the bias not counted."""
        return math.prod(self.weight_shape)


@dataclass(frozen=True, config=STRICT)
class LayerTable:
    """All quantizable layers of one model, in the order of its modules; at least one, each once."""

    model: ModelIdentity
    layers: Annotated[tuple[LayerSpec, ...], Field(min_length=1)]
    version: Literal[1] = 1

    @field_validator("layers")
    @classmethod
    def _each_once(cls, layers: tuple[LayerSpec, ...]) -> tuple[LayerSpec, ...]:
        name, count = Counter(layer.name for layer in layers).most_common(1)[0]
        if count > 1:
            raise ValueError(f"the layer {name} occurs {count} times")
        return layers

    def __iter__(self) -> Iterator[LayerSpec]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, name: LayerName) -> LayerSpec:
        return self.by_name[name]

    @cached_property
    def by_name(self) -> Mapping[LayerName, LayerSpec]:
        """The layers by their names."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, kinds and shapes: equal for all weights of one architecture."""
        lines = [f"{layer.name} {layer.kind} {layer.weight_shape} {layer.split}" for layer in self.layers]
        return sha256_of_text("\n".join(lines))

    def write(self, path: Path) -> None:
        """Writes `layers.json`."""
        write_text(path, to_json(self))

    @classmethod
    def read(cls, path: Path) -> LayerTable:
        """Reads `layers.json`.

        Raises:
            ModelError: the file does not have the form of a layer table.
            StorageError: the file can't be read.
        """
        return read_json(cls, path, ModelError)

    def rows(self) -> list[dict[str, object]]:
        """The layers as plain records, with the derived role, group and number of weights."""
        return [
            {**to_plain(layer), "role": layer.role, "group": layer.group, "weights": layer.weights}
            for layer in self.layers
        ]
