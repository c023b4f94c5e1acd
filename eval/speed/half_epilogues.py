"""An INT8 UNet whose producers write FP16 where they would quantize: for the cost, by difference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mixdq.compiler.cuda import norms, products, transformer
from mixdq.compiler.cuda.kernels.attention import half_attention
from mixdq.compiler.cuda.kernels.geglu import int8_geglu_half
from mixdq.compiler.cuda.kernels.group_norm import half_group_norm
from mixdq.compiler.cuda.kernels.layer_norm import half_layer_norm
from mixdq.compiler.cuda.kernels.linear import int8_linear
from mixdq.compiler.cuda.products import Quantize


@contextmanager
def half_epilogues() -> Iterator[None]:
    """Within this context modules of the CUDA back end are traced with producers that write FP16.

    The layers behind them read as many INT8 numbers as ever: those that the first half of the written bytes
    happens to be. So kernels, launches and what is read are the same but for the end of the producers, and
    the results mean nothing. Attention to the text still quantizes where its kernel computes the queries too
    (from 512 rows on): that is no part of the difference.
    """
    replaced = (
        (transformer, "int8_attention", _attention),
        (transformer, "int8_geglu", _geglu),
        (norms, "int8_layer_norm", _layer_norm),
        (norms, "int8_group_norm", _group_norm),
        (norms, "int8_group_norm_beside", _group_norm_beside),
        (products, "int8_quantized_linear", _linear),
        (Quantize, "forward", _written),
    )
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    for owner, name, other in replaced:
        setattr(owner, name, other)
    try:
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def bytes_of(half: Tensor) -> Tensor:
    """INT8 of a contiguous FP16 tensor's shape: the first half of its bytes, read as they are."""
    return half.contiguous().view(torch.int8).flatten()[: half.numel()].reshape(half.shape)


def _written(quantize: Quantize, activation: Tensor) -> Tensor:
    return bytes_of(activation)


def _attention(query: Tensor, key: Tensor, value: Tensor, heads: int, *_: Tensor) -> Tensor:
    return bytes_of(half_attention(query, key, value, heads))


def _geglu(x: Tensor, weight: Tensor, scale: Tensor, offset: Any, bias: Any, *_: Tensor) -> Tensor:
    return bytes_of(int8_geglu_half(x, weight, scale, offset, bias))


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float, *_: Tensor) -> Tensor:
    return bytes_of(half_layer_norm(x, weight, bias, eps))


def _group_norm(*arguments: Any) -> Tensor:
    *parts, _, _ = arguments
    return bytes_of(half_group_norm(*parts))


def _group_norm_beside(first: Tensor, second: Tensor | None, *others: Any) -> tuple[Tensor, ...]:
    """Shortcuts read the norm's own inputs, which are not written again."""
    normal = bytes_of(half_group_norm(first, second, *others[:6]))
    other = first.new_empty(0, dtype=torch.int8) if second is None else bytes_of(second)
    return normal, bytes_of(first), other


def _linear(
    x: Tensor, weight: Tensor, scale: Tensor, offset: Any, bias: Any, residual: Any, *_: Tensor
) -> Tensor:
    return bytes_of(int8_linear(x, weight, scale, offset, bias, residual))
