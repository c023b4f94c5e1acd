"""Linear layers in the forms that the CUDA back end runs; each is one kernel, bias and residual included."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixdq.compiler.cuda.forms import InputGrid
from mixdq.compiler.cuda.kernels.linear import int8_linear, int8_quantized_linear
from mixdq.compiler.cuda.kernels.packing import pack_int4, row_offsets
from mixdq.compiler.cuda.kernels.weight_only import w4a16_linear, w8a16_linear

_INT8_MIN, _INT8_MAX = -128, 127


class Quantize(nn.Module):
    """FP16 to INT8 of one static grid: pointwise, to become part of the kernel that made its input.

    Attributes:
        numbers: the grid; two layers of the same one read the same integers.
    """

    scale: Tensor
    zero: Tensor

    def __init__(self, grid: InputGrid, device: torch.device) -> None:
        """Keeps scale and zero point as tensors, so that engine files hold no numbers of a model."""
        super().__init__()
        self.numbers = grid
        self.register_buffer("scale", torch.tensor([grid.scale], dtype=torch.float32, device=device))
        self.register_buffer("zero", torch.tensor([grid.zero], dtype=torch.int32, device=device))

    def forward(self, activation: Tensor) -> Tensor:
        """The integers of an activation, of its shape."""
        rounded = torch.round(activation.float() / self.scale) + self.zero
        return torch.clamp(rounded, _INT8_MIN, _INT8_MAX).to(torch.int8)


class Product(nn.Module):
    """A linear layer, or several that read one input, their outputs side by side.

    Attributes:
        grid: what quantizes the input; None where it stays FP16.
    """

    grid: Quantize | None

    def __init__(self, grid: Quantize | None = None) -> None:
        super().__init__()
        self.grid = grid

    def quantize(self, activation: Tensor) -> Tensor:
        """The form of an FP16 activation that `forward` takes; to be used where kernels can be fused."""
        return activation if self.grid is None else self.grid(activation)

    def forward(self, activation: Tensor, residual: Tensor | None = None) -> Tensor:
        """From `[..., K]`, as `quantize` gives it, to FP16 `[..., N]`, with a residual `[..., N]` added."""
        raise NotImplementedError

    def before(self, following: Product, activation: Tensor, residual: Tensor | None = None) -> Tensor:
        """The same, in the form that another product takes it in, which alone reads it."""
        return following.quantize(self.forward(activation, residual))


class HalfProduct(Product):
    """A linear layer in FP16."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Takes the weight `[N, K]` and the bias `[N]`."""
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, activation: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Product.forward`."""
        product = functional.linear(activation, self.weight, self.bias)
        return product if residual is None else product + residual


class Int8Product(Product):
    """W8A8: INT8 operands, exact INT32 sums, then scale, bias and residual."""

    weight: Tensor
    scale: Tensor
    offset: Tensor | None
    bias: Tensor | None
    grid: Quantize

    def __init__(self, numbers: Tensor, scales: Tensor, bias: Tensor | None, grid: InputGrid) -> None:
        """Folds the input's zero point into an integer a channel.

        Args:
            numbers: INT8 `[N, K]`.
            scales: of the weight, `[N]`.
            bias: FP16 `[N]`.
            grid: of the input.
        """
        super().__init__(Quantize(grid, numbers.device))
        self.register_buffer("weight", numbers.contiguous())
        self.register_buffer("scale", scales * grid.scale)
        self.register_buffer("offset", row_offsets(numbers, grid.zero))
        self.register_buffer("bias", bias)

    def forward(self, activation: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Product.forward`."""
        product: Tensor = int8_linear(activation, *self._stored, residual)
        return product

    def before(self, following: Product, activation: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Product.before`; the kernel quantizes what it computes."""
        if (grid := following.grid) is None:
            return self.forward(activation, residual)
        numbers: Tensor = int8_quantized_linear(activation, *self._stored, residual, grid.scale, grid.zero)
        return numbers

    @property
    def _stored(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        return self.weight, self.scale, self.offset, self.bias


class Int8WeightProduct(Product):
    """W8A16: an INT8 weight, a scale a channel; FP16 arithmetic."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, numbers: Tensor, scales: Tensor, bias: Tensor | None) -> None:
        """Takes INT8 `[N, K]`, FP32 scales `[N]`, an FP16 bias `[N]`."""
        super().__init__()
        self.register_buffer("weight", numbers.contiguous())
        self.register_buffer("scale", scales)
        self.register_buffer("bias", bias)

    def forward(self, activation: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Product.forward`."""
        product: Tensor = w8a16_linear(activation, self.weight, self.scale, self.bias, residual)
        return product


class Int4WeightProduct(Product):
    """W4A16: two weights a byte, a scale for each block of 128 inputs; FP16 arithmetic."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, numbers: Tensor, scales: Tensor, bias: Tensor | None) -> None:
        """Takes INT8 `[N, K]` of four-bit numbers, scales `[N, K / 128]`, an FP16 bias `[N]`."""
        super().__init__()
        self.register_buffer("weight", pack_int4(numbers))
        self.register_buffer("scale", scales.half())
        self.register_buffer("bias", bias)

    def forward(self, activation: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Product.forward`."""
        product: Tensor = w4a16_linear(activation, self.weight, self.scale, self.bias, residual)
        return product
