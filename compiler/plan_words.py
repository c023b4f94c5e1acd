"""The options that say a plan, and the one rule by which they choose it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixdq.compiler.recipe import Uniform
from mixdq.compiler.searched_plan import LARGEST_WIDTH, ChosenPlan, ShippedSearch, why_no_search
from mixdq.configs.errors import PlanError
from mixdq.configs.layers import ModelIdentity, parse_layer_name
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FLOAT_BITS, FP16, Precision
from mixdq.configs.presets import preset_for
from mixdq.configs.quantizing import Activations, Clipping
from mixdq.configs.target import Target

DEFAULT_BITS = 8


@dataclass(frozen=True, slots=True)
class PlanWords:
    """The options that make a plan, as they were given.

    A file is the plan. Otherwise 16 and 16 bits are full precision; `uniform`, or an option that belongs to
    uniform plans, gives all layers the same whole bits; what remains are mean bits, for which a shipped
    search is asked. For a model without one they are whole, and the plan is uniform. Clipping and centres
    are what they are in the plan, unless they are given.
    """

    file: Path | None
    weight_bits: float | None
    activation_bits: float | None
    uniform: bool
    keep: Sequence[str] | None
    protect: Sequence[str] | None
    no_protect: bool
    no_bos_aware: bool
    no_split: bool
    weight_clipping: Clipping | None = None
    activations: Activations | None = None

    def choose(self, model: ModelIdentity, targets: Sequence[Target]) -> ChosenPlan:
        """The plan that the options say for a model.

        Args:
            model: its name, and the digest of its weights too.
            targets: what a searched plan is held by; see `ShippedSearch.plan`.

        Raises:
            PlanError: options that exclude each other, a malformed file, bits that are no precision, or a
                mean that needs a search where none ships.
        """
        chosen = self._choose(model, targets)
        given: dict[str, Any] = {
            name: value
            for name, value in (
                ("weight_clipping", self.weight_clipping),
                ("activations", self.activations),
            )
            if value is not None
        }
        if given and not chosen.plan.quantizes:
            raise PlanError(
                "--weight-clipping and --activations are of quantized layers, and this plan quantizes none; "
                "leave them out, or give fewer bits than 16"
            )
        words = "".join(f", {name.replace('_', ' ')} {value}" for name, value in given.items())
        return ChosenPlan(replace(chosen.plan, **given), chosen.words + words)

    def _choose(self, model: ModelIdentity, targets: Sequence[Target]) -> ChosenPlan:
        if self.file is not None:
            return self._from(self.file)
        weight, activation = self._bits()
        if given := self._uniform_options():
            asks = "asks" if len(given) == 1 else "ask"
            reason = f"{' and '.join(given)} {asks} for the same bits in every layer"
            return self._uniform(model, reason, f"{reason}, so give whole bits")
        if weight == FLOAT_BITS:
            return self._uniform(model, "nothing is quantized", "")
        if (search := ShippedSearch.of(model)) is not None:
            return search.plan(weight, activation, targets)
        reason = why_no_search(model)
        remedy = (
            f"{reason}: measure it with `mixdq-compile sensitivity`, choose bits with `mixdq-compile "
            "allocate` and give the plan with --plan, or give whole bits, the same for all layers"
        )
        return self._uniform(model, reason, remedy)

    def _from(self, file: Path) -> ChosenPlan:
        if self._uniform_options() or self.weight_bits is not None or self.activation_bits is not None:
            raise PlanError(
                "--plan names the precision of every layer, so it excludes --weight-bits, --activation-bits, "
                "--uniform, --keep, --protect, --no-protect, --no-bos-aware and --no-split-shortcuts; give "
                "one of them"
            )
        return ChosenPlan(PrecisionPlan.read(file), str(file))

    def _bits(self) -> tuple[float, float]:
        weight = DEFAULT_BITS if self.weight_bits is None else self.weight_bits
        activation = DEFAULT_BITS if self.activation_bits is None else self.activation_bits
        for operand, bits in (("weight", weight), ("activation", activation)):
            if not (2 <= bits <= LARGEST_WIDTH or bits == FLOAT_BITS):
                raise PlanError(f"{bits:g} is no {operand} width: use 2 to 8 bits, or 16 for floating point")
        return weight, activation

    def _uniform_options(self) -> list[str]:
        """Those that were given of the options that belong to uniform plans."""
        options = {
            "--uniform": self.uniform,
            "--keep": self.keep,
            "--protect": self.protect,
            "--no-protect": self.no_protect,
            "--no-bos-aware": self.no_bos_aware,
            "--no-split-shortcuts": self.no_split,
        }
        return [name for name, given in options.items() if given]

    def _uniform(self, model: ModelIdentity, reason: str, why_whole: str) -> ChosenPlan:
        if self.protect and self.no_protect:
            raise PlanError("--protect and --no-protect exclude each other; give one of them")
        weight, activation = self._bits()
        for option, bits in (("--weight-bits", weight), ("--activation-bits", activation)):
            if bits != int(bits):
                raise PlanError(f"{option} {bits:g} is a mean, which takes a search; {why_whole}")
        precision = Precision(int(weight), int(activation))
        protect = () if self.no_protect else self.protect or preset_for(model.name).protect
        plan = Uniform(
            precision=precision,
            keep=tuple(parse_layer_name(name) for name in self.keep or ()),
            protect=tuple(parse_layer_name(name) for name in protect),
            bos_aware=not self.no_bos_aware,
            split_shortcuts=not self.no_split,
        )
        name = "full precision" if precision == FP16 else f"uniform {precision}"
        return ChosenPlan(plan, f"{name}: {reason}")
