"""Layers that read one tensor, computed together: q, k and v; every K and V of the text; time projections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixdq.compiler.cuda.kernels.linear import int8_text_linear
from mixdq.compiler.cuda.norms import LayerNorm
from mixdq.compiler.cuda.products import Int8Product, Product


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a layer's output is: which product, and from which column to which."""

    product: int
    start: int
    stop: int


class Fan(nn.Module):
    """One input, many outputs: one product for all layers of one form."""

    def __init__(self, products: Sequence[Product], slots: Sequence[Slot]) -> None:
        """Takes the products, and a slot for each layer in the order of the outputs."""
        super().__init__()
        self.products = nn.ModuleList(products)
        self.slots = tuple(slots)

    def forward(self, activation: Tensor) -> list[Tensor]:
        """From FP16 `[..., K]` to each layer's `[..., N]`, views of what the products wrote."""
        return self._each(lambda product: product.quantize(activation))

    def of_norm(self, norm: LayerNorm, tokens: Tensor) -> list[Tensor]:
        """The same of normalized tokens, normalized once for each grid."""
        found: dict[object, Tensor] = {}

        def read(product: Product) -> Tensor:
            key = None if product.grid is None else product.grid.numbers
            if key not in found:
                found[key] = norm.before(product, tokens)
            return found[key]

        return self._each(read)

    def _each(self, read: Callable[[Product], Tensor]) -> list[Tensor]:
        wide = [product(read(product)) for product in self.products]  # type: ignore[arg-type]
        return [wide[slot.product][..., slot.start : slot.stop] for slot in self.slots]


class TextFan(nn.Module):
    """K and V of all cross-attentions, from the text alone; token 0's rows may be constants."""

    def __init__(
        self, products: Sequence[Product], rows: Sequence[Tensor | None], slots: Sequence[Slot]
    ) -> None:
        """Takes the products and, where one leaves token 0 out, the row `[N]` in its place."""
        super().__init__()
        self.products = nn.ModuleList(products)
        self.slots = tuple(slots)
        self._aware = tuple(row is not None for row in rows)
        for index, row in enumerate(rows):
            if row is not None:
                self.register_buffer(f"row_{index}", row)

    def forward(self, text: Tensor) -> list[Tensor]:
        """From the text embedding `[B, tokens, K]` to each layer's `[B, tokens, N]`."""
        wide = [self._product(index, text) for index in range(len(self.products))]
        return [wide[slot.product][..., slot.start : slot.stop] for slot in self.slots]

    def _product(self, index: int, text: Tensor) -> Tensor:
        product = self.products[index]
        assert isinstance(product, Product)
        if not self._aware[index]:
            whole: Tensor = product(product.quantize(text))
            return whole
        row: Tensor = getattr(self, f"row_{index}")
        if isinstance(product, Int8Product):
            tokens: Tensor = int8_text_linear(
                product.quantize(text), product.weight, product.scale, product.offset, product.bias, row
            )
            return tokens
        return torch.cat([row.expand(text.shape[0], 1, -1), product(text[:, 1:])], dim=1)
