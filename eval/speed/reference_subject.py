"""diffusers' own pipeline, measured: what engines are compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mixdq.configs.errors import EvaluationError, TargetError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.model_choice import ModelChoice
from mixdq.eval.speed.choices import TorchPrecision
from mixdq.eval.speed.subject import Case, Drawer, Label
from mixdq.export.source import SourceModel, open_source
from mixdq.export.weights.checkpoint import CheckpointWeights
from mixdq.export.weights.files import StoredWeights

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Baseline:
    """How torch runs the reference.

    Attributes:
        precision: of text encoders and UNet; the VAE's is the model choice's.
        compiled: whether torch.compile makes kernels of the UNet and the VAE.
        cuda_graph: whether their launches, and the text encoders', are recorded in CUDA graphs and replayed.
    """

    precision: TorchPrecision
    compiled: bool
    cuda_graph: bool


@dataclass(frozen=True, slots=True)
class ReferenceSubject:
    """The reference pipeline on one device; `of` checks it.

    Attributes:
        model: the checked model.
        baseline: how torch runs it.
        label: how tables call it.
        resolutions: the model's own; others that it can draw may be asked for.
        digest: of configurations, tokenizers and weights, with the baseline and the device.
    """

    model: SourceModel
    baseline: Baseline
    label: Label
    resolutions: tuple[int, ...]
    digest: str

    @property
    def batches(self) -> tuple[int, ...]:
        """One picture, unless others are asked for."""
        return (1,)

    @classmethod
    def of(cls, choice: ModelChoice, baseline: Baseline, device: str) -> ReferenceSubject:
        """Opens a model.

        Raises:
            ModelError: no such model, or a broken one.
            TargetError: there is no GPU, or the baseline needs one.
        """
        if device == "cuda" and find_gpu() is None:
            raise TargetError(
                "device cuda needs an NVIDIA GPU, and this machine has none that its driver shows; use "
                "--device cpu"
            )
        if baseline.cuda_graph and device != "cuda":
            raise TargetError("--cuda-graph records a GPU's work; add --device cuda, or leave it out")
        model = open_source(choice)
        options = [baseline.precision, baseline.compiled, baseline.cuda_graph, choice.vae_precision, device]
        return cls(
            model=model,
            baseline=baseline,
            label=Label(
                source=model.identity.name,
                model=model.identity.name,
                model_digest=model.identity.digest,
                precision=_in_words(baseline, choice.vae_precision),
                plan_digest=None,
                target="diffusers",
                device=device,
            ),
            resolutions=model.resolutions,
            digest=json.dumps([model.identity.digest, *options]),
        )

    def check(self, resolution: int, batch: int) -> None:
        """Any multiple of the model's step, any batch; see `Subject.check`."""
        self.model.check_resolution(resolution)
        if batch < 1:
            raise EvaluationError(f"a batch has at least 1 picture, not {batch}")

    def engines(self, resolution: int) -> Mapping[str, Mapping[str, str]]:
        """It has none; see `Subject.engines`."""
        return {}

    def weights_mib(self, resolution: int) -> float | None:
        """The safetensors files of all components; see `Subject.weights_mib`."""
        paths: set[Path] = set()
        for weights in self.model.weights.values():
            if isinstance(weights, StoredWeights):
                paths.update(weights.files)
            elif isinstance(weights, CheckpointWeights):
                paths.add(weights.file)
            else:
                return None
        return sum(path.stat().st_size for path in paths) / _MIB

    def prepare(self) -> None:
        """Imports torch and diffusers."""
        from mixdq.eval.speed import torch_drawer

        assert torch_drawer

    def open(self, case: Case) -> Drawer:
        """Loads the weights; see `Subject.open`."""
        from mixdq.eval.speed.torch_drawer import TorchDrawer

        return TorchDrawer(self.model, self.baseline, self.label.device, case)


def _in_words(baseline: Baseline, vae_precision: str) -> str:
    words: list[str] = [baseline.precision]
    if vae_precision != baseline.precision:
        words.append(f"VAE {vae_precision}")
    if baseline.compiled:
        words.append("torch.compile")
    if baseline.cuda_graph:
        words.append("CUDA graph")
    return ", ".join(words)
