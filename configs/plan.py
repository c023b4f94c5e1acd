"""The precision plan (`plan.yaml`): which layer runs at which precision."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_yaml, to_plain
from mixdq.configs.errors import DigestError, PlanError, TargetError
from mixdq.configs.files import sha256_of_text, write_text
from mixdq.configs.form import Form
from mixdq.configs.layers import LayerName, LayerSpec, LayerTable
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.quantizing import Activations, Clipping


@dataclass(frozen=True, slots=True, config=STRICT)
class Realization:
    """How a target runs the layers of a plan that was made legal for it.

    Attributes:
        target: `rtx:sm89`.
        forms: of every layer, each of the plan's precision.
    """

    target: str
    forms: Mapping[LayerName, Form]


@dataclass(frozen=True, config=STRICT)
class PrecisionPlan:
    """One precision for every quantizable layer of a model.

    Attributes:
        layers_digest: `LayerTable.digest` of the architecture that the plan is for.
        model_digest: `ModelIdentity.digest` of the weights that the plan was searched on; None if the
            plan does not depend on weights.
        bos_aware: whether token 0 of the text embedding leaves the quantized path of cross-attention's
            K and V (paper, section 3.1).
        split_shortcuts: whether the up-blocks' `conv_shortcut` inputs are quantized in two halves
            (paper, section 4.1).
        layers: precision by layer name; total over the model's layers, at least one.
        realization: how one target runs them, if the plan was made legal for it; then the file names it.
        weight_clipping: how the scales of weights are found; named in the file unless it is min-max.
        activations: what their integers are about; named in the file unless it is plain.
    """

    layers_digest: str
    model_digest: str | None
    bos_aware: bool
    split_shortcuts: bool
    layers: Annotated[Mapping[LayerName, Precision], Field(min_length=1)]
    version: Literal[1] = 1
    realization: Realization | None = None
    weight_clipping: Clipping = Clipping.MINMAX
    activations: Activations = Activations.PLAIN

    @model_validator(mode="after")
    def _realized_as_planned(self) -> PrecisionPlan:
        if self.realization is None:
            return self
        forms = self.realization.forms
        if other := sorted(set(forms) ^ set(self.layers)):
            raise ValueError(f"the realization is of other layers than the plan: {_ten(other)}")
        if unlike := [name for name, form in forms.items() if form.precision != self.layers[name]]:
            name = unlike[0]
            raise ValueError(f"the realization gives {name} as {forms[name]}, the plan {self.layers[name]}")
        return self

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the plan's file form."""
        return sha256_of_text(self.to_yaml())

    @property
    def quantizes(self) -> bool:
        """Whether any layer is quantized."""
        return any(precision.quantizes_weight for precision in self.layers.values())

    def __getitem__(self, name: LayerName) -> Precision:
        return self.layers[name]

    def takes_bos_out(self, layer: LayerSpec) -> bool:
        """Whether token 0 leaves this layer: a quantized projection of the text embedding."""
        return self.bos_aware and layer.reads_text and self[layer.name].quantizes_weight

    def splits(self, layer: LayerSpec) -> bool:
        """Whether this layer's input is divided: an up-block's shortcut that is quantized at all."""
        return self.split_shortcuts and layer.split is not None and self[layer.name].quantizes_weight

    def centers(self, layer: LayerSpec) -> bool:
        """Whether this layer's input is quantized about its centre where zero points are refused.

        A convolution with a kernel is only if that was asked for: the zeros around a picture are no zeros
        once the centre is subtracted.
        """
        precision = self[layer.name]
        if self.activations is Activations.PLAIN or not precision.quantizes_activation or precision.floating:
            return False
        return self.activations is Activations.CENTERED_PADDED or math.prod(layer.weight_shape[2:]) == 1

    def check(self, table: LayerTable) -> None:
        """Refuses a plan that is not total over a model's layers, or was made for another model.

        Raises:
            PlanError: layers are missing or unknown; the first ten are named. Or a block of the realization
                does not divide a layer's inputs.
            DigestError: same names, but another architecture or other weights.
        """
        own, model = set(self.layers), set(table.by_name)
        if missing := sorted(model - own):
            raise PlanError(
                f"the plan has no entry for {_ten(missing)} of {table.model.name}; "
                "add them, or make the plan again for this model"
            )
        if unknown := sorted(own - model):
            raise PlanError(
                f"the plan names {_ten(unknown)}, which {table.model.name} does not have; "
                f"`mixdq-compile layers {table.model.name}` lists its layers"
            )
        if self.layers_digest != table.digest:
            raise DigestError(
                f"the plan was made for another architecture (layers {self.layers_digest[:12]}) than "
                f"{table.model.name} (layers {table.digest[:12]}); make the plan again for this model"
            )
        if self.model_digest is not None and self.model_digest != table.model.digest:
            raise DigestError(
                f"the plan was searched on other weights (model {self.model_digest[:12]}) than those of "
                f"{table.model.name} (model {table.model.digest[:12]}); search again on this model"
            )
        forms = {} if self.realization is None else self.realization.forms
        if unfit := [name for name, form in forms.items() if not form.fits(table[name])]:
            raise PlanError(
                f"{unfit[0]} (of {len(unfit)} layers) can't run as {forms[unfit[0]]}: its "
                f"{table[unfit[0]].weight_shape[1]} inputs don't divide into such blocks, or its "
                f"{table[unfit[0]].weights} weights don't fill whole bytes; make the plan legal again with "
                "`mixdq-compile legalize`"
            )

    def check_target(self, target: str) -> None:
        """Refuses a plan that was made legal for another target.

        Args:
            target: `rtx:sm89`; `tensorrt` alone means the GPU that is built on, whichever it is.

        Raises:
            TargetError: names both.
        """
        own = target if self.realization is None else self.realization.target
        if target not in (own, own.partition(":")[0]):
            raise TargetError(
                f"the plan was made legal for {own}, not for {target}: it holds what that target runs; "
                f"run `mixdq-compile legalize --target {target}` on the plan that it was made from"
            )

    def mean_bits(self, table: LayerTable) -> tuple[float, float]:
        """Mean bits of weights and of activations, each layer weighted by its number of weights."""
        total = sum(layer.weights for layer in table)
        weight = sum(layer.weights * self[layer.name].weight_bits for layer in table)
        activation = sum(layer.weights * self[layer.name].activation_bits for layer in table)
        return weight / total, activation / total

    def to_yaml(self) -> str:
        """The plan's file form."""
        plain = to_plain(self)
        usual = {"realization": None, "weight_clipping": Clipping.MINMAX, "activations": Activations.PLAIN}
        for name, value in usual.items():
            if getattr(self, name) == value:
                del plain[name]
        return yaml.safe_dump(plain, sort_keys=False, width=200)

    def write(self, path: Path) -> None:
        """Writes `plan.yaml`."""
        write_text(path, self.to_yaml())

    @classmethod
    def read(cls, path: Path) -> PrecisionPlan:
        """Reads `plan.yaml`.

        Raises:
            PlanError: the file is no plan, or names a layer twice.
            StorageError: the file can't be read.
        """
        return read_yaml(cls, path, PlanError)


def uniform_plan(
    table: LayerTable,
    precision: Precision,
    *,
    keep: Collection[LayerName],
    protect: Collection[LayerName],
    bos_aware: bool,
    split_shortcuts: bool,
) -> PrecisionPlan:
    """The same precision for every layer, but for the layers named.

    Args:
        table: the model's layers.
        precision: of every layer that is neither kept nor protected.
        keep: layers that stay in floating point.
        protect: layers whose weight is quantized and whose activation stays in floating point.
        bos_aware: see `PrecisionPlan`.
        split_shortcuts: see `PrecisionPlan`.

    Raises:
        PlanError: a kept or protected layer is none of the model's.
    """
    if unknown := sorted({*keep, *protect} - set(table.by_name)):
        raise PlanError(
            f"{_ten(unknown)}: no such layer in {table.model.name}; "
            f"`mixdq-compile layers {table.model.name}` lists its layers"
        )
    protected = Precision(precision.weight_bits, 16) if precision.quantizes_weight else FP16

    def choose(name: LayerName) -> Precision:
        if name in keep:
            return FP16
        return protected if name in protect else precision

    return PrecisionPlan(
        layers_digest=table.digest,
        model_digest=None,
        bos_aware=bos_aware,
        split_shortcuts=split_shortcuts,
        layers={layer.name: choose(layer.name) for layer in table},
    )


def _ten(names: list[LayerName]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more
