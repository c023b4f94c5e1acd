"""The work of SDXL-Turbo's UNet by kernel, as its fused layers do it: what is checked, tuned and timed.

Queries, keys and values of a self-attention are one product; so are the keys and values of all
cross-attentions, which depend on the text alone. A shortcut over a concatenation is one for each half.
Layers of a single row (the embeddings) and `conv_in`, `conv_out` are left out: they take no time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from mixdq.configs.errors import EvaluationError

RESOLUTIONS = (512, 768, 1024)
"""Pixels of a side."""

_LATENT = 8
_STEP = 32
_TOKENS = 77


class Form(StrEnum):
    """What layers compute with: INT8 throughout; or INT8 or four-bit weights, and FP16 activations.

    `unweighted` is what lies between INT8 layers: attention and normalizations.
    """

    INT8 = "int8"
    W8A16 = "w8a16"
    W4A16 = "w4a16"
    UNWEIGHTED = "unweighted"


@dataclass(frozen=True, slots=True)
class Linear:
    """A product of [m, k] and [k, n]."""

    m: int
    n: int
    k: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.m * self.n * self.k

    def __str__(self) -> str:
        return f"{self.m}x{self.n}x{self.k}"


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution of one image.

    Attributes:
        height: of the input.
        width: of the input.
        k: input channels.
        n: output channels.
        taps: of a side of the window.
        stride: pixels between windows.
        padding: the border's width.
    """

    height: int
    width: int
    k: int
    n: int
    taps: int
    stride: int
    padding: int

    @property
    def pixels(self) -> int:
        """Of the output."""
        rows = (self.height + 2 * self.padding - self.taps) // self.stride + 1
        return rows * ((self.width + 2 * self.padding - self.taps) // self.stride + 1)

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.pixels * self.n * self.k * self.taps**2

    def __str__(self) -> str:
        step = f"/{self.stride}" if self.stride > 1 else ""
        return f"{self.height}x{self.width}x{self.k}->{self.n} {self.taps}x{self.taps}{step}"


@dataclass(frozen=True, slots=True)
class Attention:
    """Attention of one image."""

    queries: int
    keys: int
    heads: int
    width: int = 64

    @property
    def macs(self) -> int:
        """Multiply-accumulates of both products."""
        return 2 * self.queries * self.keys * self.heads * self.width

    def __str__(self) -> str:
        return f"{self.queries} queries, {self.keys} keys, {self.heads} heads"


@dataclass(frozen=True, slots=True)
class TextAttention:
    """Attention of one image to the text, and the layer that makes its queries (linear ones count it too)."""

    queries: int
    heads: int
    width: int = 64

    @property
    def macs(self) -> int:
        """Multiply-accumulates: the layer's, and those of both products."""
        channels = self.heads * self.width
        return self.queries * channels * (channels + 2 * _TOKENS)

    def __str__(self) -> str:
        return f"{self.queries} queries made, {_TOKENS} keys, {self.heads} heads"


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """A layer norm of one image's tokens."""

    rows: int
    channels: int

    @property
    def macs(self) -> int:
        """None."""
        return 0

    def __str__(self) -> str:
        return f"{self.rows}x{self.channels}"


@dataclass(frozen=True, slots=True)
class GroupNorm:
    """A group norm of a square image, or of two side by side; with SiLU and a border, or neither."""

    side: int
    first: int
    second: int
    silu: bool

    @property
    def macs(self) -> int:
        """None."""
        return 0

    def __str__(self) -> str:
        more = f"+{self.second}" if self.second else ""
        return f"{self.side}x{self.side}x{self.first}{more}{' SiLU' if self.silu else ''}"


Work = Linear | Convolution | Attention | TextAttention | LayerNorm | GroupNorm


@dataclass(frozen=True, slots=True)
class Entry:
    """A shape of the UNet.

    Attributes:
        operator: which of the operators computes it.
        work: its shape, for one image.
        count: how often the UNet does it.
        residual: whether it adds a residual.
    """

    operator: str
    work: Work
    count: int
    residual: bool = False


def unet_shapes(resolution: int) -> tuple[Entry, ...]:
    """The distinct shapes at a resolution in pixels.

    Raises:
        EvaluationError: no multiple of 32, by which the UNet's lowest level shrinks a picture.
    """
    if resolution < _STEP or resolution % _STEP:
        raise EvaluationError(f"expected a multiple of {_STEP} pixels, found {resolution}; try 512")
    side = resolution // _LATENT
    return (
        *_transformers((side // 2) ** 2, 640, blocks=10, models=5),
        *_transformers((side // 4) ** 2, 1280, blocks=60, models=6),
        Entry("int8_text_linear", Linear(_TOKENS, 10 * 2 * 640 + 60 * 2 * 1280, 2048), 1),
        *_shortcuts(side),
        *_convolutions(side),
    )


def entries_of(form: Form, resolution: int) -> tuple[Entry, ...]:
    """The shapes of all layers in INT8, of linear ones whose weights alone are quantized, or of the rest."""
    if form is Form.INT8:
        return unet_shapes(resolution)
    if form is Form.UNWEIGHTED:
        return _unweighted(resolution // _LATENT)
    return tuple(
        replace(entry, operator=f"{form}_linear", residual=False)
        for entry in unet_shapes(resolution)
        if isinstance(entry.work, Linear) and entry.work.k % 128 == 0
    )


def _transformers(tokens: int, channels: int, *, blocks: int, models: int) -> tuple[Entry, ...]:
    def linear(n: int, k: int) -> Linear:
        return Linear(tokens, n, k)

    return (
        Entry("int8_linear", linear(3 * channels, channels), blocks),
        # to_q of the cross-attentions, proj_in; then both to_out and proj_out, which add to the stream.
        Entry("int8_linear", linear(channels, channels), blocks + models),
        Entry("int8_linear", linear(channels, channels), 2 * blocks + models, residual=True),
        Entry("int8_geglu", linear(8 * channels, channels), blocks),
        Entry("int8_linear", linear(channels, 4 * channels), blocks, residual=True),
    )


def _shortcuts(side: int) -> tuple[Entry, ...]:
    """By level: outputs, and how often which inputs come."""
    levels = (
        (side**2, 320, {320: 5, 640: 1}),
        ((side // 2) ** 2, 640, {320: 2, 640: 4, 1280: 1}),
        ((side // 4) ** 2, 1280, {1280: 5, 640: 2}),
    )
    return tuple(
        Entry("int8_linear", Linear(tokens, n, k), count, residual=True)
        for tokens, n, inputs in levels
        for k, count in inputs.items()
    )


def _convolutions(side: int) -> tuple[Entry, ...]:
    """By level: the inputs and outputs of 3x3 convolutions, how often; then those that change the size."""
    half, quarter = side // 2, side // 4
    levels = (
        (side, {(320, 320): 7, (640, 320): 2, (960, 320): 1, (640, 640): 1}),
        (
            half,
            {(640, 640): 6, (320, 640): 1, (960, 640): 1, (1280, 640): 1, (1920, 640): 1, (1280, 1280): 1},
        ),
        (quarter, {(1280, 1280): 10, (640, 1280): 1, (1920, 1280): 1, (2560, 1280): 2}),
    )
    plain = tuple(
        Entry("int8_conv2d", Convolution(extent, extent, k, n, 3, 1, 1), count, residual=k == n)
        for extent, shapes in levels
        for (k, n), count in shapes.items()
    )
    return (
        *plain,
        Entry("int8_conv2d", Convolution(side, side, 320, 320, 3, 2, 1), 1),
        Entry("int8_conv2d", Convolution(half, half, 640, 640, 3, 2, 1), 1),
    )


def _unweighted(side: int) -> tuple[Entry, ...]:
    """Attention, layer norms and group norms; those of a level's resnets have SiLU."""
    half, quarter = side // 2, side // 4
    resnets = (
        (side, {(320, 0): 8, (640, 320): 1, (320, 320): 2}),
        (half, {(320, 0): 1, (640, 0): 6, (1280, 640): 1, (640, 640): 1, (640, 320): 1}),
        (quarter, {(640, 0): 1, (1280, 0): 10, (1280, 1280): 2, (1280, 640): 1}),
    )
    transformers = ((half, 640, 10, 5), (quarter, 1280, 60, 6))
    return (
        *(
            Entry("int8_attention", Attention(extent**2, extent**2, channels // 64), blocks)
            for extent, channels, blocks, _ in transformers
        ),
        *(
            Entry("int8_text_attention", TextAttention(extent**2, channels // 64), blocks)
            for extent, channels, blocks, _ in transformers
        ),
        *(
            Entry("int8_layer_norm", LayerNorm(extent**2, channels), 3 * blocks)
            for extent, channels, blocks, _ in transformers
        ),
        *(
            Entry("int8_group_norm", GroupNorm(extent, channels, 0, silu=False), models)
            for extent, channels, _, models in transformers
        ),
        *(
            Entry("int8_group_norm", GroupNorm(extent, first, second, silu=True), count)
            for extent, shapes in resnets
            for (first, second), count in shapes.items()
        ),
    )
