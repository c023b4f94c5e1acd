"""What a plan chooses beside bits: how the scales of weights are found, and what activations are about."""

from __future__ import annotations

from enum import StrEnum


class Clipping(StrEnum):
    """How the scale of a weight's channel or block is found.

    `MINMAX`: the greatest magnitude takes the last step of the grid.
    `MSE`: the scale of least squared error, which clips rare large weights to resolve the others better.

    Ranges of activations are least and greatest values, of which no squared error can be told: they are
    always min-max.
    """

    MINMAX = "minmax"
    MSE = "mse"


class Activations(StrEnum):
    """What integers of activations are about.

    `PLAIN`: as the target's graphs hold them: with a zero point, or symmetric about 0.
    `CENTERED`: where zero points are refused, the centre of the range is subtracted before an activation is
    quantized, and what it contributed is added to the bias: linear layers, and convolutions of one pixel.
    `CENTERED_PADDED`: convolutions with a kernel too, whose padding becomes a node of its own.
    """

    PLAIN = "plain"
    CENTERED = "centered"
    CENTERED_PADDED = "centered-padded"
