"""Engines that ONNX Runtime executes, on the CPU or with its CUDA provider."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import onnxruntime as ort

from mixdq.configs.bundle import EngineRecord
from mixdq.configs.errors import BundleError, TargetError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.target import ORT_DISABLED_OPTIMIZERS, ORT_EXACT_PRODUCTS, ORT_NO_SPINNING
from mixdq.runtime.engine import Array

_ERRORS_ONLY = 3
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_INSTALL = (
    "install ONNX Runtime for CUDA in its place with `pip uninstall onnxruntime onnxruntime-gpu` and then "
    "`pip install 'onnxruntime-gpu[cuda,cudnn]'`"
)


class OnnxDevice(StrEnum):
    """Where ONNX Runtime computes."""

    CPU = "cpu"
    CUDA = "cuda"

    @classmethod
    def parse(cls, text: str) -> OnnxDevice:
        """Reads `cpu` or `cuda`.

        Raises:
            TargetError: no such device.
        """
        try:
            return cls(text)
        except ValueError as error:
            raise TargetError(f"unknown device {text!r}; use one of: {', '.join(cls)}") from error


class OnnxOpener:
    """Opens graphs in ONNX Runtime; see `Opener`."""

    def __init__(self, device: OnnxDevice, threads: int | None) -> None:
        """Checks that the device can be used.

        Args:
            device: where to compute.
            threads: threads of one run on the CPU; None for one a physical core.

        Raises:
            TargetError: there is no GPU, or the installed ONNX Runtime can't use one.
        """
        self._device, self._threads = device, threads
        if device is OnnxDevice.CUDA:
            _require_cuda()

    def check(self, record: EngineRecord) -> None:
        """Graphs run wherever ONNX Runtime does."""

    def open(self, record: EngineRecord, path: Path, weights: tuple[Path, ...]) -> OnnxNetwork:
        """Loads a graph whose files were checked; it names its weights itself."""
        return OnnxNetwork(record, path, self._device, self._threads)

    def close(self) -> None:
        """Nothing is shared between graphs."""


class OnnxNetwork:
    """A graph in ONNX Runtime: one session serves all resolutions."""

    def __init__(self, record: EngineRecord, path: Path, device: OnnxDevice, threads: int | None) -> None:
        """Loads the graph.

        Raises:
            BundleError: ONNX Runtime can't load the graph.
            TargetError: ONNX Runtime would compute on the CPU instead of the GPU.
        """
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.add_session_config_entry(*ORT_NO_SPINNING)
        options.add_session_config_entry(*ORT_EXACT_PRODUCTS)
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = ort.InferenceSession(
                path,
                options,
                providers=[_CUDA, _CPU] if device is OnnxDevice.CUDA else [_CPU],
                disabled_optimizers=list(ORT_DISABLED_OPTIMIZERS),
            )
        except Exception as error:
            raise BundleError(
                f"ONNX Runtime {ort.__version__} can't load {path}, which was made with {record.builder}: "
                f"{error}; install the version that made it, or build the bundle again"
            ) from error
        # Without CUDA's or cuDNN's libraries ONNX Runtime falls back to the CPU and only logs it.
        if device is OnnxDevice.CUDA and _CUDA not in self._session.get_providers():
            raise TargetError(
                f"the CUDA provider of ONNX Runtime {ort.__version__} could not start here and left the work "
                "to the CPU (CUDA's or cuDNN's libraries are missing, or the driver is older than they are); "
                f"{_INSTALL}"
            )

    def engine(self, record: EngineRecord, profile: int) -> OnnxEngine:
        """The graph at one resolution; see `Network`."""
        return OnnxEngine(record, self._session)

    def close(self) -> None:
        """Lets go of the session: ONNX Runtime frees it with the last engine."""
        del self._session


class OnnxEngine:
    """A graph in ONNX Runtime at one resolution; see `Engine`."""

    def __init__(self, record: EngineRecord, session: ort.InferenceSession) -> None:
        """Keeps the session.

        Args:
            record: the engine's entry in the bundle, every size known.
            session: the loaded graph; may serve other resolutions too.
        """
        self.record, self._session = record, session

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Executes the graph once; see `Engine.run`."""
        # Inputs and outputs are arrays of the host, which ONNX Runtime copies by itself: binding them to
        # memory of the GPU would save nothing.
        names = [spec.name for spec in self.record.outputs]
        return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))


def _require_cuda() -> None:
    if find_gpu() is None:
        raise TargetError(
            "device cuda needs an NVIDIA GPU, and this machine has none that its driver shows; use device cpu"
        )
    if _CUDA not in ort.get_available_providers():
        raise TargetError(
            f"device cuda needs ONNX Runtime's CUDA provider, but onnxruntime {ort.__version__} here is the "
            f"one for the CPU; {_INSTALL}"
        )
    # Finds the libraries of the nvidia-* wheels that the extras of onnxruntime-gpu bring.
    ort.preload_dlls()
