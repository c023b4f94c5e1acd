"""From a bundle's folder to a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from mixdq.configs.bundle import Bundle, EngineRecord
from mixdq.configs.errors import TargetError
from mixdq.configs.target import Backend, Target
from mixdq.runtime.engine import Opener
from mixdq.runtime.onnx_engine import OnnxDevice, OnnxOpener
from mixdq.runtime.pipeline import Pipeline
from mixdq.runtime.store import EngineStore


def load(
    folder: str | PathLike[str], *, target: str = "cpu", device: str = "cpu", threads: int | None = None
) -> Pipeline:
    """Loads a bundle that `mixdq-compile run` made.

    Every file's SHA-256 is checked before it is used: the tokenizers' here, the engines' when the first
    picture of a resolution is made. The pipeline is a context manager: where a GPU's memory is to be given
    back before the process ends, use `with load(...) as pipeline:`.

    Args:
        folder: the folder that holds `bundle.json`.
        target: which of the bundle's engines to execute: `cpu` is ONNX Runtime, `rtx:sm89` TensorRT for RTX
            on a GPU of that compute capability, `tensorrt` TensorRT on the GPU that built them, `cuda:sm90`
            mixdq's own kernels, likewise.
        device: where ONNX Runtime computes, `cpu` or `cuda`; of no meaning for other targets.
        threads: threads of one engine on the CPU; None for one a physical core.

    Raises:
        BundleError: no bundle there, of another version, or incomplete.
        DigestError: a file was changed or damaged after it was built.
        TargetError: unknown, not executable here, or not in the bundle.
        MachineError: the GPU can't be used.
    """
    root = Path(folder).absolute()  # engines are opened later, perhaps from another working folder
    wanted = Target.parse(target)
    bundle = Bundle.read(root)
    built = {engine.target for engine in bundle.engines}
    if target not in built:
        # A run makes the folder hold the engines of the targets that it names, and no others.
        options = " ".join(f"--target {one}" for one in (*sorted(built), target))
        raise TargetError(
            f"{root} was built for {', '.join(sorted(built))}, not for {target}; "
            f"add it with `mixdq-compile run MODEL {options} --out {root}`"
        )
    records = [engine for engine in bundle.engines if engine.target == target]
    opener = open_with(wanted, OnnxDevice.parse(device), threads, records)
    engines = EngineStore(bundle, root, wanted, opener)
    try:
        return Pipeline(bundle, engines)
    except BaseException:
        engines.close()
        raise


def open_with(
    target: Target, device: OnnxDevice, threads: int | None, records: Sequence[EngineRecord] = ()
) -> Opener:
    """The back end of a target.

    Args:
        target: whose engines.
        device: where ONNX Runtime computes.
        threads: of an engine on the CPU.
        records: the engines that it will open, if they are known.

    Raises:
        TargetError: it can't be executed here.
        MachineError: the GPU has no room for them.
    """
    if target.backend is Backend.CPU:
        return OnnxOpener(device, threads)
    if target.backend is Backend.CUDA:
        from mixdq.runtime.cuda_engine import CudaOpener

        return CudaOpener(target, records)
    # Not before it is needed: it is of no use on a machine without a GPU.
    from mixdq.runtime.tensorrt_engine import TensorRtOpener

    return TensorRtOpener(target)
