"""What a UNet's GPU kernels are for, by their names and their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class KernelKind(StrEnum):
    """What a kernel is for."""

    INT8 = "INT8 layers"
    """Products of integers, with dequantization, bias, residual and GEGLU's gate."""
    PROTECTED = "protected layers"
    """Layers of INT8 weights alone in a UNet whose other layers are W8A8."""
    WEIGHT_ONLY = "weight-only layers"
    """Layers of packed weights alone, in a UNet where they are the rule."""
    LIBRARY = "library's layers"
    """Linear layers and convolutions of cuBLAS and cuDNN, in FP16 or FP8."""
    ATTENTION = "attention"
    NORM = "normalization"
    """With what is fused: SiLU, quantization."""
    REST = "rest"
    """Sums, activations, copies."""


_CONVOLUTION = "convolution_kernel"
_WIDENING = "widen_kernel"
_FEW = 16  # more weight-only layers than these are no exception
_NORMS = ("layer_norm", "group_norm", "var_mean", "rsqrt", "rowwisemoments", "groupnorm", "_kernel_norm")
_OWN_NORMS = ("group_parts_kernel", "group_terms_kernel", "group_apply_kernel")
_LIBRARIES = ("nvjet", "xmma", "cutlass", "gemm", "gemv", "cublas", "cudnn", "convolve")
# The first that fits. Attention comes before the libraries, which have it too; what Inductor makes of
# pointwise arithmetic is named after all that it does.
_NAMES = (
    (KernelKind.WEIGHT_ONLY, ("weight_only_", _WIDENING)),
    (KernelKind.INT8, ("int8_linear_kernel", "int8_geglu_kernel")),
    (KernelKind.ATTENTION, ("attention_kernel", "sdpa", "flash", "fmha")),
    (KernelKind.NORM, (*_NORMS, *_OWN_NORMS)),
    (KernelKind.REST, ("triton_",)),
    (KernelKind.INT8, (_CONVOLUTION,)),
    (KernelKind.LIBRARY, _LIBRARIES),
)


@dataclass(frozen=True, slots=True)
class Launch:
    """A kernel that ran: its name, and how long it took in microseconds."""

    kernel: str
    us: float


@dataclass(frozen=True, slots=True)
class KindTime:
    """The kernels of one kind within one run of the UNet, in microseconds together."""

    kind: KernelKind
    us: float
    launches: int


def kind_of(kernel: str) -> KernelKind:
    """What a kernel is for, by its name alone."""
    name = kernel.lower()
    return next((kind for kind, parts in _NAMES if any(part in name for part in parts)), KernelKind.REST)


def kinds_of(run: Sequence[Launch]) -> list[KernelKind]:
    """What each kernel of one run is for.

    A weight-only layer of many rows is two kernels: its weights are made FP16, and a library's product takes
    them. Where a UNet has such layers, its first and its last convolution, `conv_in` and `conv_out`, are of
    weights alone too, by the kernel that the others have.
    """
    kinds = [kind_of(launch.kernel) for launch in run]
    widened = 0
    for index, launch in enumerate(run):
        if launch.kernel.startswith(_WIDENING):
            widened += 1
        elif widened and kinds[index] is KernelKind.LIBRARY:
            kinds[index] = KernelKind.WEIGHT_ONLY
            widened -= 1
    convolutions = [index for index, launch in enumerate(run) if launch.kernel.startswith(_CONVOLUTION)]
    if convolutions and KernelKind.WEIGHT_ONLY in kinds:
        kinds[convolutions[0]] = kinds[convolutions[-1]] = KernelKind.WEIGHT_ONLY
    if kinds.count(KernelKind.WEIGHT_ONLY) > 2 * _FEW:
        return kinds
    return [KernelKind.PROTECTED if kind is KernelKind.WEIGHT_ONLY else kind for kind in kinds]


def time_by_kind(run: Sequence[Launch]) -> list[KindTime]:
    """One run's time by what it was spent on, in the kinds' order."""
    kinds = kinds_of(run)
    found = []
    for kind in KernelKind:
        times = [launch.us for launch, its in zip(run, kinds, strict=True) if its is kind]
        if times:
            found.append(KindTime(kind, sum(times), len(times)))
    return found
