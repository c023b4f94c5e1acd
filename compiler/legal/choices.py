"""Which of a target's forms a layer may get, and in which order they are preferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mixdq.configs.capability import Capability
from mixdq.configs.errors import PlanError
from mixdq.configs.form import ActivationFormat, Form, Granularity, WeightFormat
from mixdq.configs.layers import Kind, LayerSpec
from mixdq.configs.precision import Precision
from mixdq.configs.target import Backend


@dataclass(frozen=True)
class Rules:
    """What legal choices are made of.

    Attributes:
        capability: of the target.
        block: the most inputs that may share a scale of a four-bit weight, where the target takes blocks; a
            layer that no such block divides keeps a scale a channel. None for a scale a channel.
        unwritten: whether to choose also among forms that mixdq's passes can't write yet.

    Raises:
        PlanError: no form has such blocks.
    """

    capability: Capability
    block: int | None
    unwritten: bool

    def __post_init__(self) -> None:
        blocks = sorted(g.block for g in Granularity if g.block is not None)
        if self.block is not None and self.block not in blocks:
            known = ", ".join(str(block) for block in blocks)
            raise PlanError(f"blocks of {self.block} weights are none; use {known}")

    @property
    def times_target(self) -> str:
        """What a latency table calls the target: full TensorRT builds on the GPU, naming none."""
        backend = self.capability.table.backend
        return backend if backend == Backend.TENSORRT else str(self.capability)

    def forms(self, layer: LayerSpec) -> tuple[Form, ...]:
        """The legal forms of a layer, scales at least one a channel, in the order in which ties are settled.

        First the fewest activation bits, then asymmetric before symmetric activations, then the finest
        scales, then by name.
        """
        fitting = tuple(form for form in self._legal[layer.kind] if form.fits(layer))
        return fitting if self.block is None else _with_blocks(fitting, self.block)

    @cached_property
    def _legal(self) -> Mapping[Kind, tuple[Form, ...]]:
        return {
            kind: tuple(
                sorted(
                    filter(_fine_enough, self.capability.forms(kind, unwritten=self.unwritten)),
                    key=preference,
                )
            )
            for kind in Kind
        }


def preference(form: Form) -> tuple[int, bool, int, str]:
    """A key that puts the preferred of two forms first; see `Rules.forms`."""
    symmetric = form.activation is not ActivationFormat.UINT8
    return form.activation.bits, symmetric, -form.granularity.fineness, str(form)


def answers(form: Form, asked: Precision) -> bool:
    """Whether a form has at least the asked bits, of weight and of activation.

    FP8 has four significant bits, so it answers FP8 alone, and nothing else but itself answers it.
    """
    given = form.precision
    if asked.floating or given.floating:
        return asked == given
    return given.weight_bits >= asked.weight_bits and given.activation_bits >= asked.activation_bits


def _fine_enough(form: Form) -> bool:
    # The quantizer's weights have a scale a channel (FP8's one a tensor), as had those that were measured.
    return form.granularity is not Granularity.TENSOR or form.weight is WeightFormat.FP8


def _with_blocks(forms: Sequence[Form], block: int) -> tuple[Form, ...]:
    """Without four-bit weights of coarser scales, if there are any with such blocks for that activation."""

    def coarse(form: Form) -> bool:
        if form.weight is not WeightFormat.INT4:
            return False
        return form.granularity.block is None or form.granularity.block > block

    fine = {form.activation for form in forms if form.weight is WeightFormat.INT4 and not coarse(form)}
    return tuple(form for form in forms if not (coarse(form) and form.activation in fine))
