"""Which engines are served, and in which processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mixdq.configs.bundle import Bundle
from mixdq.configs.errors import TargetError
from mixdq.runtime.onnx_engine import OnnxDevice
from mixdq.runtime.work.job import Work
from mixdq.runtime.work.null import NullWork
from mixdq.runtime.work.process import ProcessWork
from mixdq.runtime.work.spec import WorkerSpec

_CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Engines:
    """What every worker holds.

    Attributes:
        folder: of the bundle.
        target: which of its engines; None if it has only one target.
        device: where ONNX Runtime computes.
        threads: of one engine on the CPU; None for one a physical core.
        steps: denoising steps of every picture.
        null: whether there are none: grey pictures at once.
    """

    folder: Path
    target: str | None
    device: OnnxDevice
    threads: int | None
    steps: int
    null: bool

    def target_of(self, bundle: Bundle) -> str:
        """The target that is served of a bundle.

        Raises:
            TargetError: the bundle was not built for it, or for several and none was named.
        """
        built = sorted({engine.target for engine in bundle.engines})
        if self.target is None and len(built) == 1:
            return built[0]
        if self.target in built:
            return str(self.target)
        found = f"the bundle was built for {', '.join(built)}"
        raise TargetError(
            f"{found}: say with --target which is served"
            if self.target is None
            else f"{found}, not for {self.target}: pass one of them to --target, or build the bundle for it"
        )

    def open(self, folder: Path, number: int) -> Work:
        """One life of a worker; it has not started yet.

        Raises:
            BundleError: the folder holds no bundle.
            TargetError: not the engines that are wanted.
        """
        bundle = Bundle.read(folder)
        if self.null:
            return NullWork(bundle.resolutions)
        target = self.target_of(bundle)
        on_gpu = target != _CPU or self.device is not OnnxDevice.CPU
        return ProcessWork(
            WorkerSpec(folder, target, self.device, self.threads, number if on_gpu else None, self.steps)
        )
