"""How much a layer holds and reads: what its bits are weighted by."""

from __future__ import annotations

from mixdq.configs.errors import ModelError
from mixdq.configs.layers import LayerSpec

_STRIDED = ".downsamplers."
"""In the names of the convolutions that read four values for each position that they write."""


def input_elements(layer: LayerSpec, resolution: int) -> int:
    """Values of a layer's input for one image: positions times input channels.

    Every position costs as many multiply-accumulates as the layer has weights, so the number of positions
    follows from the two; of a text layer they are the 77 tokens. MixDQ's means of activation bits are
    weighted by these numbers at 512 pixels.

    Raises:
        ModelError: the layer table has no work for this resolution.
    """
    macs = layer.macs.get(resolution)
    if macs is None or macs % layer.weights:
        found = ", ".join(str(known) for known in sorted(layer.macs)) or "none"
        raise ModelError(
            f"the size of {layer.name}'s input at {resolution} pixels is unknown: the layer table gives its "
            f"work at {found}; take one of these, or list the layers at {resolution}"
        )
    positions = macs // layer.weights * (4 if _STRIDED in layer.name else 1)
    return positions * layer.weight_shape[1]
