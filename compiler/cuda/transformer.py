"""The UNet's transformers: attention and feed-forward over `[B, tokens, C]`, residuals added by products."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from mixdq.compiler.cuda.fans import Fan
from mixdq.compiler.cuda.kernels.attention import half_attention, int8_attention
from mixdq.compiler.cuda.kernels.geglu import int8_geglu, int8_geglu_half
from mixdq.compiler.cuda.kernels.text_attention import FEWEST_INPUTS, MOST_KEYS, int8_text_attention
from mixdq.compiler.cuda.norms import GroupNorm, LayerNorm
from mixdq.compiler.cuda.products import Int8Product, Product

# Of 256 rows the kernels sum to less, but a UNet at 512 pixels took 6.17 ms instead of 5.91.
_FUSED_ROWS = 512

TextPair = tuple[Tensor, Tensor]
"""K and V `[B, tokens, C]` of one cross-attention."""


class Transformer(nn.Module):
    """Pixels `[B, H, W, C]` to pixels: norm, projection, blocks, projection, residual."""

    def __init__(
        self, norm: GroupNorm, proj_in: Product, blocks: Sequence[TransformerBlock], proj_out: Product
    ) -> None:
        super().__init__()
        self.norm, self.proj_in, self.proj_out = norm, proj_in, proj_out
        self.blocks = nn.ModuleList(blocks)

    def forward(self, pixels: Tensor, text: Sequence[TextPair]) -> Tensor:
        """`text` holds the K and V of all blocks of the UNet, each of which knows its own."""
        batch, height, width, channels = pixels.shape
        grid = self.proj_in.grid
        normal = self.norm(pixels) if grid is None else self.norm.quantized((pixels,), grid, 0)
        tokens = self.proj_in(normal.reshape(batch, height * width, channels))
        *blocks, last = self.blocks
        for block in blocks:
            tokens = block(tokens, text)
        residual = pixels.reshape(batch, height * width, channels)
        result: Tensor = self.proj_out(last(tokens, text, self.proj_out), residual)
        return result.reshape(pixels.shape)


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention, feed-forward."""

    def __init__(
        self,
        norms: tuple[LayerNorm, LayerNorm, LayerNorm],
        qkv: Fan,
        out: Product,
        cross_q: Product,
        cross_out: Product,
        gate: Gate,
        shrink: Product,
        *,
        heads: int,
        text: int,
    ) -> None:
        """Takes the parts; `text` is the place of the block's K and V among those of all blocks."""
        super().__init__()
        self.norm1, self.norm2, self.norm3 = norms
        self.qkv, self.out = qkv, out
        self.cross_q, self.cross_out = cross_q, cross_out
        self.gate, self.shrink = gate, shrink
        self.heads, self.text = heads, text

    def forward(self, tokens: Tensor, text: Sequence[TextPair], following: Product | None = None) -> Tensor:
        """`[B, tokens, C]` to the same; if nothing but a product reads it, in the form that it takes."""
        query, key, value = self.qkv.of_norm(self.norm1, tokens)
        tokens = self._attend(self.out, query, key, value, tokens)
        tokens = self._attend_to_text(*text[self.text], tokens)
        hidden = self.gate(self.norm3.before(self.gate.product, tokens))
        if following is not None:
            return self.shrink.before(following, hidden, tokens)
        result: Tensor = self.shrink(hidden, tokens)
        return result

    def _attend_to_text(self, key: Tensor, value: Tensor, residual: Tensor) -> Tensor:
        """Cross-attention; between INT8 layers the queries of many tokens are computed in its kernel."""
        activation, layer, out = self.norm2.before(self.cross_q, residual), self.cross_q, self.cross_out
        rows = residual.shape[0] * residual.shape[1]
        fits = rows >= _FUSED_ROWS and residual.shape[-1] >= FEWEST_INPUTS and key.shape[1] <= MOST_KEYS
        if not isinstance(layer, Int8Product) or out.grid is None or not fits:
            return self._attend(out, layer(activation), key, value, residual)
        mixed = int8_text_attention(
            activation,
            layer.weight,
            layer.scale,
            layer.offset,
            layer.bias,
            key,
            value,
            self.heads,
            out.grid.scale,
            out.grid.zero,
        )
        tokens: Tensor = out(mixed, residual)
        return tokens

    def _attend(self, out: Product, query: Tensor, key: Tensor, value: Tensor, residual: Tensor) -> Tensor:
        """Attention in the form that its projection takes, and the projection."""
        mixed: Tensor = (
            half_attention(query, key, value, self.heads)
            if out.grid is None
            else int8_attention(query, key, value, self.heads, out.grid.scale, out.grid.zero)
        )
        tokens: Tensor = out(mixed, residual)
        return tokens


class Gate(nn.Module):
    """GEGLU: value times GELU of the gate, in the form that the next product takes."""

    def __init__(self, product: Product, then: Product) -> None:
        """Takes the product that makes value and gate side by side, and the one that reads the result.

        An INT8 product's kernel computes both and multiplies them.
        """
        super().__init__()
        self.product = product
        # In a tuple, so that it is no part of this module: it is the block's.
        self._then = (then,)

    def forward(self, activation: Tensor) -> Tensor:
        """From `[..., K]`, as the product takes it, to `[..., N / 2]`."""
        product, (then,) = self.product, self._then
        if not isinstance(product, Int8Product):
            value, gate = product(activation).chunk(2, dim=-1)
            return then.quantize(value * functional.gelu(gate))
        parts = (activation, product.weight, product.scale, product.offset, product.bias)
        hidden: Tensor = (
            int8_geglu_half(*parts)
            if then.grid is None
            else int8_geglu(*parts, then.grid.scale, then.grid.zero)
        )
        return hidden
