"""SDXL's text embedding, computed as the pipeline does but without what it would throw away."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTextModelWithProjection


def embed_prompts(
    first: CLIPTextModel, second: CLIPTextModelWithProjection, ids: Tensor, ids_2: Tensor
) -> tuple[Tensor, Tensor]:
    """Text embedding `[prompt, 77, width]` and pooled embedding `[prompt, pooled]` of ids `[prompt, 77]`.

    The embedding joins both encoders' last but one hidden states; the pooled one is the second encoder's
    projection of its final state at the first EOS.
    """
    one, two = _body(first), _body(second)
    before = _run_layers(one, ids, range(len(one.encoder.layers) - 1))
    before_2 = _run_layers(two, ids_2, range(len(two.encoder.layers) - 1))
    final = two.final_layer_norm(_run_layer(two.encoder.layers[-1], before_2))
    ends = (ids_2 == second.config.eos_token_id).int().argmax(dim=-1)
    pooled = final[torch.arange(len(ids_2), device=ids.device), ends]
    return torch.cat([before, before_2], dim=-1), second.text_projection(pooled)


def _body(encoder: nn.Module) -> Any:
    """The module that holds embeddings and layers: older versions of transformers nest it always."""
    return getattr(encoder, "text_model", encoder)


def _run_layers(body: Any, ids: Tensor, layers: range) -> Tensor:
    embeddings = body.embeddings
    states: Tensor = embeddings.token_embedding(ids) + embeddings.position_embedding.weight[: ids.shape[1]]
    for i in layers:
        states = _run_layer(body.encoder.layers[i], states)
    return states


def _run_layer(layer: Any, states: Tensor) -> Tensor:
    """One pre-norm transformer layer with causal attention."""
    attention = layer.self_attn
    normed = layer.layer_norm1(states)
    heads = [
        projection(normed).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    ]
    mixed = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2], is_causal=True)
    states = states + attention.out_proj(mixed.transpose(1, 2).flatten(2))
    mlp = layer.mlp
    out: Tensor = states + mlp.fc2(mlp.activation_fn(mlp.fc1(layer.layer_norm2(states))))
    return out
