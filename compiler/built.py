"""What a builder says of the engine that it built."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT


@dataclass(frozen=True, slots=True, config=STRICT)
class Built:
    """Builder and hardware of an engine, as the bundle records them.

    Attributes:
        builder: `tensorrt-rtx 1.7.1`, `onnxruntime 1.31.1`.
        built_for: `cpu`, `sm89`, or the name of the GPU.
    """

    builder: str
    built_for: str
