"""The instrument of each target."""

from __future__ import annotations

from mixdq.compiler.tune.instrument import Instrument
from mixdq.compiler.tune.ort_instrument import OrtInstrument
from mixdq.compiler.tune.tensorrt_instrument import TensorRtInstrument
from mixdq.configs.errors import RequestError
from mixdq.configs.target import Backend, Target


def instrument_of(target: Target, threads: int | None) -> Instrument:
    """What measures a target's engines.

    Args:
        target: what they were built for.
        threads: of ONNX Runtime; None for its own choice.

    Raises:
        RequestError: threads of a GPU, or none at all.
    """
    if target.backend is Backend.CPU:
        if threads is not None and threads < 1:
            raise RequestError(f"--threads {threads} is no number of threads; use at least 1")
        return OrtInstrument(threads)
    if threads is not None:
        raise RequestError(
            f"--threads is of ONNX Runtime on the CPU, and {target} runs on a GPU; leave it out"
        )
    return TensorRtInstrument(target)
