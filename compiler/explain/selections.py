"""The layers that the paper's takeaways speak of (section 5.4, appendix D)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mixdq.configs.layers import LayerName, LayerSpec, LayerTable, Role

_SELECTIONS: Mapping[str, Callable[[LayerSpec], bool]] = {
    "conv_in": lambda layer: layer.name == "conv_in",
    "conv_out": lambda layer: layer.name == "conv_out",
    "time_embedding": lambda layer: layer.name.startswith("time_embedding."),
    "resnets' time_emb_proj": lambda layer: layer.name.endswith(".time_emb_proj"),
    "add_embedding": lambda layer: layer.name.startswith("add_embedding."),
    "attn2.to_k": lambda layer: layer.name.endswith(".attn2.to_k"),
    "attn2.to_v": lambda layer: layer.name.endswith(".attn2.to_v"),
}


def roles_and_selections(table: LayerTable) -> Mapping[str, tuple[LayerName, ...]]:
    """The layers of each role, then of what has a takeaway of its own; only what the model has."""
    tests = {role.value: _plays(role) for role in Role} | dict(_SELECTIONS)
    found = {what: tuple(layer.name for layer in table if test(layer)) for what, test in tests.items()}
    return {what: names for what, names in found.items() if names}


def _plays(role: Role) -> Callable[[LayerSpec], bool]:
    return lambda layer: layer.role is role
