"""What each layer of a model may get on a target, and its bytes: what the integer programme chooses from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixdq.compiler.legal.choices import Rules
from mixdq.configs.form import Form
from mixdq.configs.layers import LayerName, LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan, Realization
from mixdq.configs.precision import Precision


@dataclass(frozen=True, slots=True)
class Menu:
    """The cheapest legal form of every precision that a layer may get.

    Attributes:
        target: `rtx:sm89`.
        forms: by layer and precision; the preferred of several that take equal bytes.
        bytes: likewise, of the stored weight and its scales.
    """

    target: str
    forms: Mapping[LayerName, Mapping[Precision, Form]]
    bytes: Mapping[LayerName, Mapping[Precision, int]]

    @classmethod
    def of(cls, table: LayerTable, rules: Rules, *, split_shortcuts: bool) -> Menu:
        """All that a target runs of a model's layers.

        Args:
            table: the model's layers.
            rules: the target, and what may be chosen there.
            split_shortcuts: whether the halves of shortcuts get scales of their own.
        """
        float_bytes = rules.capability.table.float_bytes
        forms: dict[LayerName, Mapping[Precision, Form]] = {}
        sizes: dict[LayerName, Mapping[Precision, int]] = {}
        for layer in table:
            parts = 2 if split_shortcuts and layer.split is not None else 1

            def size(form: Form, layer: LayerSpec = layer, parts: int = parts) -> int:
                return form.bytes(layer, float_bytes=float_bytes, parts=parts)

            # In the order of preference, which `min` keeps among equals.
            offered = rules.forms(layer)
            precisions = dict.fromkeys(form.precision for form in offered)
            best = {p: min((f for f in offered if f.precision == p), key=size) for p in precisions}
            forms[layer.name] = best
            sizes[layer.name] = {precision: size(form) for precision, form in best.items()}
        return cls(str(rules.capability), forms, sizes)

    def realized(self, plan: PrecisionPlan) -> Realization:
        """How the target runs a plan whose precisions were chosen here."""
        return Realization(self.target, {name: self.forms[name][bits] for name, bits in plan.layers.items()})
