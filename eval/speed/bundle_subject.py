"""A bundle's pipeline, measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL.Image import Image

from mixdq.configs.bundle import BUNDLE_FILE, Bundle, Component
from mixdq.configs.errors import EvaluationError, TargetError
from mixdq.configs.files import sha256_of_file
from mixdq.configs.latency_table import WHOLE
from mixdq.configs.target import Backend, Target
from mixdq.eval.speed.clock import ENCODE, WallClock
from mixdq.eval.speed.subject import Case, Drawer, Label

_MIB = 1 << 20
_FULL = "FP16"
_STAGES = {
    Component.TEXT_ENCODER: "text",
    Component.TEXT_ENCODER_2: "text",
    Component.UNET: "unet",
    Component.VAE_DECODER: "vae",
}


@dataclass(frozen=True, slots=True)
class BundleSubject:
    """A bundle on one target and device; `of` checks it.

    Attributes:
        root: its folder.
        label: how tables call it.
        resolutions: those that it was built for.
        batches: the one batch size that it was built for.
        digest: of `bundle.json`, which holds those of all other files, with target and device.
    """

    root: Path
    label: Label
    resolutions: tuple[int, ...]
    batches: tuple[int, ...]
    digest: str

    @classmethod
    def of(cls, root: Path, target: str | None, device: str) -> BundleSubject:
        """Reads a bundle.

        Args:
            root: its folder.
            target: which engines; None for ONNX Runtime's, or the only ones.
            device: where ONNX Runtime computes; other targets compute on a GPU whatever this says.

        Raises:
            BundleError: no bundle, or a broken one.
            TargetError: it has no engines of the target, or several to choose from.
        """
        bundle = Bundle.read(root)
        chosen = _choose(root, bundle, target)
        backend = Target.parse(chosen).backend
        on = device if backend is Backend.CPU else "cuda"
        return cls(
            root=root.absolute(),
            label=Label(
                source=root.absolute().name,
                model=bundle.model.name,
                model_digest=bundle.model.digest,
                precision=executed(bundle.plan_summary, backend),
                plan_digest=bundle.plan_digest,
                target=chosen,
                device=on,
            ),
            resolutions=bundle.resolutions,
            batches=(bundle.batch,),
            digest=f"{sha256_of_file(root / BUNDLE_FILE)} {chosen} {on}",
        )

    def check(self, resolution: int, batch: int) -> None:
        """Refuses sizes that the bundle was not built for; see `Subject.check`.

        A smaller batch would be padded, a larger one drawn in turns: neither is what such a batch takes.
        """
        if resolution not in self.resolutions:
            raise EvaluationError(
                f"{self.root} draws {_listed(self.resolutions)} pixels, not {resolution}; choose among them, "
                f"or build it with `mixdq-compile run MODEL --resolution {resolution} --out {self.root}`"
            )
        if batch not in self.batches:
            raise EvaluationError(
                f"{self.root} was built for batches of {self.batches[0]}, not of {batch}; leave --batch out, "
                f"or build another bundle with `mixdq-compile run MODEL --batch {batch} --out DIR`"
            )

    def engines(self, resolution: int) -> Mapping[str, Mapping[str, str]]:
        """Of `bundle.json`'s records, which loading compares with the files; see `Subject.engines`."""
        found: dict[str, dict[str, str]] = {}
        bundle = Bundle.read(self.root)
        for component, stage in _STAGES.items():
            engine = bundle.find(component, self.label.target, resolution)
            files = {file.path: file.sha256 for file in (engine.file, *engine.weights)}
            found.setdefault(stage, {}).update(files)
        return found

    def weights_mib(self, resolution: int) -> float:
        """Engines and the weights that they load beside themselves, at one resolution."""
        bundle = Bundle.read(self.root)
        engines = [bundle.find(component, self.label.target, resolution) for component in Component]
        files = {file for engine in engines for file in (engine.file, *engine.weights)}
        return sum(file.bytes for file in files) / _MIB

    def prepare(self) -> None:
        """Imports the runtime and its back end."""
        import mixdq.runtime

        backend = Target.parse(self.label.target).backend
        if backend is Backend.CUDA:
            import torch

            import mixdq.runtime.cuda_engine

            assert torch
        elif backend is not Backend.CPU:
            import mixdq.runtime.tensorrt_engine
        assert mixdq.runtime

    def open(self, case: Case) -> Drawer:
        """Loads the bundle; see `Subject.open`."""
        return _BundleDrawer(self, case)


class _BundleDrawer:
    def __init__(self, subject: BundleSubject, case: Case) -> None:
        from mixdq.runtime import load

        self._case, self._clock = case, WallClock()
        self._pipeline = load(subject.root, target=subject.label.target, device=subject.label.device)
        self._pipeline.on_stage = self._clock.stage

    def draw(self) -> Mapping[str, float]:
        case, drawing = self._case, self._case.drawing
        with self._clock.stage(WHOLE):
            images = self._pipeline(
                [drawing.prompt] * case.batch,
                seed=range(drawing.seed, drawing.seed + case.batch),
                resolution=case.resolution,
                steps=drawing.steps,
            )
            with self._clock.stage(ENCODE):
                encode(images)
        return self._clock.take()

    def clock(self, stage: str) -> str:
        return self._clock.kind(stage)

    def allocator_peak_mib(self) -> tuple[float, float] | None:
        if Target.parse(self._case.subject.label.target).backend is not Backend.CUDA:
            return None
        import torch

        return torch.cuda.max_memory_allocated() / _MIB, torch.cuda.max_memory_reserved() / _MIB

    def close(self) -> None:
        self._pipeline.close()


def encode(images: list[Image]) -> list[bytes]:
    """Pictures as PNG files, with Pillow's own settings."""
    files = []
    for image in images:
        file = BytesIO()
        image.save(file, format="PNG")
        files.append(file.getvalue())
    return files


def executed(plan: str, backend: Backend) -> str:
    """A plan in words, with what its FP16 runs in where that is something else.

    ONNX Runtime's graphs are FP32 (its kernels fuse only FP32 scales), so that FP16 is TensorRT's alone.
    """
    if backend is not Backend.CPU or _FULL not in plan:
        return plan
    return (
        f"{_FULL} plan, FP32 in ONNX Runtime" if plan == _FULL else f"{plan}; FP32 for FP16 in ONNX Runtime"
    )


def _choose(root: Path, bundle: Bundle, target: str | None) -> str:
    built = sorted({engine.target for engine in bundle.engines})
    if target is not None:
        Target.parse(target)
        if target not in built:
            raise TargetError(
                f"{root} was built for {', '.join(built)}, not for {target}; choose one of them"
            )
        return target
    if str(Backend.CPU) in built or len(built) == 1:
        return str(Backend.CPU) if str(Backend.CPU) in built else built[0]
    raise TargetError(f"{root} was built for {', '.join(built)}; say which with --target")


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))
