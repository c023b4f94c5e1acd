"""Targets: the back end and the hardware that an engine is built for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mixdq.configs.capability import check_realization, find_capability, shipped_capabilities
from mixdq.configs.errors import TargetError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.layers import LayerName
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import Precision

ORT_DISABLED_OPTIMIZERS = ("MatMulAddFusion",)
"""What every ONNX Runtime session of ours leaves out: MatMul + Add would become a Gemm, which the integer
kernels don't take, so that the product would stay in float between its DequantizeLinear nodes."""

ORT_NO_SPINNING = ("session.intra_op.allow_spinning", "0")
"""An entry of a session's configuration: its threads sleep between runs. A picture takes four sessions in
turn, and threads of one that wait in a loop take the cores from the next."""

ORT_EXACT_PRODUCTS = ("session.qdq_matmulnbits_accuracy_level", "1")
"""An entry of a session's configuration: ONNX Runtime makes one node of a matrix product and the
DequantizeLinear of its weight alone, and by default quantizes that node's input to 8 bits unasked: the plan's
floating-point activation would be lost. At level 1 it computes in FP32."""


class Dialect(StrEnum):
    """The form of ONNX graph that a family of back ends reads best.

    `ORT`: FP32, asymmetric UINT8 activations (ONNX Runtime's CPU kernels fuse FP32 scales only).
    `TENSORRT`: FP16, symmetric INT8 activations (the parser refuses non-zero zero points, and the type
    of a DQ's scale is the type of its output in a strongly typed network).
    """

    ORT = "ort"
    TENSORRT = "tensorrt"

    @property
    def symmetric(self) -> bool:
        """Whether activations are quantized with zero point 0."""
        return self is Dialect.TENSORRT

    @property
    def float_type(self) -> str:
        """The NumPy name of the type of whatever is not quantized, and of the scales."""
        return "float16" if self is Dialect.TENSORRT else "float32"


class Layout(StrEnum):
    """How the resolutions are divided between engines.

    `PER_RESOLUTION`: one engine each, with fixed sizes: the fastest.
    `DYNAMIC`: one engine whose sizes are symbolic: the smallest on disk.
    """

    PER_RESOLUTION = "per-resolution"
    DYNAMIC = "dynamic"


class Backend(StrEnum):
    """What executes an engine."""

    CPU = "cpu"
    TENSORRT = "tensorrt"
    RTX = "rtx"
    CUDA = "cuda"


RTX_COMPUTE_CAPABILITIES = (75, 80, 86, 89, 120, 121)
"""The compute capabilities that TensorRT for RTX 1.7 builds for here, as SM numbers."""

CUDA_COMPUTE_CAPABILITIES = (80, 86, 89, 90, 100, 120)
"""The compute capabilities whose tensor cores multiply INT8 as the kernels of the CUDA back end do."""

_CAPABILITIES = {Backend.RTX: RTX_COMPUTE_CAPABILITIES, Backend.CUDA: CUDA_COMPUTE_CAPABILITIES}

_ACCEPTED = "cpu, tensorrt, " + ", ".join(
    f"{backend}:sm{sm}" for backend, numbers in _CAPABILITIES.items() for sm in numbers
)


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """A back end and, for most, the compute capability; prints and parses as `rtx:sm89`, `cuda:sm90`."""

    backend: Backend
    sm: int | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Reads `cpu`, `tensorrt`, `rtx:sm89` or `cuda:sm90`.

        Raises:
            TargetError: no such target: names the nearest compute capability of its back end, if it has any;
                or says why nothing is built for one that is known.
        """
        if text in (Backend.CPU, Backend.TENSORRT):
            return cls(Backend(text))
        if text.partition(":")[0] not in {table.backend for table in shipped_capabilities()}:
            raise TargetError(f"unknown target {text!r}; use one of: {_ACCEPTED}")
        known = find_capability(text)
        if known.table.backend == Backend.TENSORRT:
            raise TargetError(
                f"{known.table.product} builds on the GPU that the engine will run on, so nothing is built "
                f"for {text} elsewhere; use tensorrt on a machine with that GPU"
            )
        if known.table.backend not in list(Backend):
            raise TargetError(f"{known.table.product} are planned and not built; use one of: {_ACCEPTED}")
        return cls(Backend(known.table.backend), known.sm)

    def __str__(self) -> str:
        return self.backend.value if self.sm is None else f"{self.backend.value}:sm{self.sm}"

    @property
    def slug(self) -> str:
        """The target as part of a file name: `rtx-sm89`."""
        return str(self).replace(":", "-")

    @property
    def dialect(self) -> Dialect:
        """The form of graph that this target's builder reads.

        The CUDA back end reads none; its integers and scales are those of ONNX Runtime's graphs.
        """
        return Dialect.ORT if self.backend in (Backend.CPU, Backend.CUDA) else Dialect.TENSORRT

    def holds(self, precision: Precision) -> bool:
        """Whether a layer runs so in a plan that was made legal for no target.

        Weights of 2 to 8 bits are held in INT8; activations are 8 bits or floating point. What a target has
        beyond that, four bits packed and FP8, is in plans that were made legal for it.
        """
        return not precision.floating and precision.activation_bits in (8, 16)

    def check(self, plan: PrecisionPlan) -> None:
        """Refuses a plan with a precision that the target can't hold.

        Raises:
            TargetError: names the first such layer, and how many there are; or the plan was made legal for
                another target.
        """
        check_realization(plan, str(self))
        if plan.realization is not None:
            if self.backend is Backend.TENSORRT:
                _check_gpu(plan.realization.target)
            return
        refused: list[LayerName] = [name for name, bits in plan.layers.items() if not self.holds(bits)]
        if refused:
            raise TargetError(
                f"{self} can't hold {plan[refused[0]]} of {refused[0]} (of {len(refused)} layers): it holds "
                "weights of 2 to 8 bits in INT8 and activations of 8 bits, or floating point; "
                "choose --activation-bits 8 or 16, change these layers in the plan, or make it legal for the "
                "target's own forms (`mixdq-compile legalize`)"
            )


def _check_gpu(legal_for: str) -> None:
    """Refuses a plan that is legal on other GPUs than this machine's, which TensorRT builds for."""
    gpu = find_gpu()
    if gpu is not None and find_capability(legal_for).sm != gpu.sm:
        raise TargetError(
            f"the plan was made legal for {legal_for}, and TensorRT builds for this machine's {gpu.name}, an "
            f"sm{gpu.sm}; run `mixdq-compile legalize --target tensorrt:sm{gpu.sm}` on the plan it came from"
        )
