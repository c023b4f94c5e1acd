"""The search that ships for a model: its layers, their sensitivities, and plans for some budgets.

It lies beside the model's folder, not in it, because a diffusers folder holds what makes pictures alone:
`search/emoji-turbo/{layers.json, sensitivity.json, plans/w5a8.yaml, …}`.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from mixdq.configs.layers import LayerTable
from mixdq.configs.presets import model_name

_PACKAGE = Path(str(files("mixdq.configs")))
_SEARCH, _LAYERS, _SENSITIVITY, _PLANS = "search", "layers.json", "sensitivity.json", "plans"


def shipped_sensitivity(model: str) -> Path | None:
    """The sensitivity table of a model, or None if there is none; its digest says of which weights it is.

    Args:
        model: a name, a hub id or a folder; as with presets, the last part counts.
    """
    return _file(model, _SENSITIVITY)


def shipped_layers(model: str) -> Path | None:
    """The layer table that goes with `shipped_sensitivity`: with it nothing has to load torch."""
    return _file(model, _LAYERS)


def shipped_layers_by_digest(digest: str) -> Path | None:
    """The layer table of this `LayerTable.digest`, or None: which model a plan is for, if one that ships.

    The digest is of names and shapes, so the plan may still be of other weights.
    """
    for path in sorted((_PACKAGE / _SEARCH).glob(f"*/{_LAYERS}")):
        if LayerTable.read(path).digest == digest:
            return path
    return None


def shipped_plan(model: str, weight_bits: float, activation_bits: float) -> Path | None:
    """The plan that was searched for exactly these mean bits, or None: `plans/w3.66a16.yaml`."""
    return _file(model, f"{_PLANS}/{plan_name(weight_bits, activation_bits)}.yaml")


def plan_name(weight_bits: float, activation_bits: float) -> str:
    """A budget in a few letters: `w3.66a16`."""
    return f"w{weight_bits:.12g}a{activation_bits:.12g}"


def _file(model: str, name: str) -> Path | None:
    path = _PACKAGE / _SEARCH / model_name(model) / name
    return path if path.is_file() else None
