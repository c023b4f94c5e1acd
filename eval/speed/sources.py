"""From what a user names to the cases that are measured, all checked before the first of them runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.configs.bundle import BUNDLE_FILE
from mixdq.configs.errors import EvaluationError, ModelError, TargetError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.model_choice import ModelChoice, VaePrecision
from mixdq.eval.speed.bundle_subject import BundleSubject
from mixdq.eval.speed.reference_subject import Baseline, ReferenceSubject
from mixdq.eval.speed.subject import Case, Drawing, Subject


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure, as the command line says it.

    Attributes:
        sources: bundles' folders, and models for the reference pipeline.
        targets: of bundles; empty for ONNX Runtime's engines, or a bundle's only ones.
        device: of ONNX Runtime and the reference; other targets compute on a GPU whatever this says.
        resolutions: pixels; empty for all that a source was made for.
        batches: pictures at once; empty for those of a bundle, and 1 for the reference.
        drawing: what is drawn.
        baseline: how torch runs the reference.
        vae_precision: of the reference's VAE.
        weights: of the reference, as `mixdq-compile run --weights` takes them; None for its own.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    device: str
    resolutions: tuple[int, ...]
    batches: tuple[int, ...]
    drawing: Drawing
    baseline: Baseline
    vae_precision: VaePrecision
    weights: str | None


def cases_of(wanted: Wanted) -> tuple[Case, ...]:
    """Every source at every resolution and batch.

    Raises:
        EvaluationError: a size that a source can't draw, or two sources of one name.
        TargetError: no such target or device, or no GPU.
        MixdqError: a source is broken.
    """
    if wanted.device not in ("cpu", "cuda"):
        raise TargetError(f"unknown device {wanted.device!r}; use one of: cpu, cuda")
    subjects = [subject for source in wanted.sources for subject in _subjects(source, wanted)]
    names = Counter((one.label.source, one.label.target, one.label.device) for one in subjects)
    (name, target, device), count = names.most_common(1)[0]
    if count > 1:
        raise EvaluationError(
            f"{count} of the sources would be called {name} ({target} on {device}) in the tables; name each "
            "once, and rename the folders of bundles that have the same name"
        )
    cases = []
    for subject in subjects:
        for resolution in wanted.resolutions or subject.resolutions:
            for batch in wanted.batches or subject.batches:
                subject.check(resolution, batch)
                cases.append(Case(subject, resolution, batch, wanted.drawing))
    return tuple(cases)


def _subjects(source: str, wanted: Wanted) -> Sequence[Subject]:
    folder = Path(source)
    if (folder / BUNDLE_FILE).exists():
        targets = wanted.targets or (None,)
        subjects = [BundleSubject.of(folder, target, wanted.device) for target in targets]
        for subject in subjects:
            _require_gpu(subject)
        return subjects
    if folder.is_dir() and not (folder / "model_index.json").exists():
        raise ModelError(
            f"{folder} holds neither {BUNDLE_FILE} nor model_index.json: it is no bundle and no diffusers "
            "model; `mixdq-compile run MODEL --out DIR` makes a bundle"
        )
    choice = ModelChoice(source, weights=wanted.weights, vae_precision=wanted.vae_precision)
    return [ReferenceSubject.of(choice, wanted.baseline, wanted.device)]


def _require_gpu(subject: BundleSubject) -> None:
    label = subject.label
    if label.device == "cuda" and find_gpu() is None:
        raise TargetError(
            f"{label.source} for {label.target} on cuda needs an NVIDIA GPU, and this machine has none that "
            "its driver shows; measure there, or use --target cpu --device cpu"
        )
