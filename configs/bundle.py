"""The bundle (`bundle.json`): the only thing that the runtime accepts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, parse, read_json, to_json
from mixdq.configs.errors import BundleError, DigestError, StorageError
from mixdq.configs.files import sha256_of_file, write_text
from mixdq.configs.layers import ModelIdentity

BUNDLE_FILE = "bundle.json"
BUNDLE_VERSION = 2

GRANULARITY = "one a tensor for activations, one an output channel for weights; none a group"
"""What has a scale of its own in a quantized graph (paper, section 4.1): the same for every plan so far."""

DOWNSAMPLING_METADATA = "mixdq.downsampling"
"""Metadata of an exported graph: pixels per latent pixel along one side."""


SYMBOLIC = -1
"""A size that is not fixed, in ONNX Runtime's and TensorRT's own convention."""


class Component(StrEnum):
    """A network of the pipeline."""

    TEXT_ENCODER = "text_encoder"
    TEXT_ENCODER_2 = "text_encoder_2"
    UNET = "unet"
    VAE_DECODER = "vae_decoder"


@dataclass(frozen=True, slots=True, config=STRICT)
class FileRecord:
    """A file that was made, by its path relative to the folder that records it (of `bundle.json`)."""

    path: str
    sha256: str
    bytes: int

    @classmethod
    def of(cls, root: Path, path: Path) -> FileRecord:
        """The record of a file under the folder `root`, as it is now."""
        return cls(path.relative_to(root).as_posix(), sha256_of_file(path), path.stat().st_size)

    def is_intact(self, root: Path) -> bool:
        """Whether the file is there with the same bytes.

        It is read whole: a copy or a bad disk changes bytes and keeps size and time.
        """
        try:
            return self._is(root / self.path)
        except (OSError, StorageError):
            return False

    def check(self, root: Path) -> Path:
        """The file's path, after a check of its size and digest.

        Raises:
            BundleError: the file is missing.
            DigestError: the file is not the one that was built.
        """
        path = root / self.path
        if not path.is_file():
            raise BundleError(
                f"{path} is missing from the bundle; run `mixdq-compile run` again to restore it"
            )
        if not self._is(path):
            raise DigestError(
                f"{path} was changed or damaged after it was built (its SHA-256 differs from the one in "
                f"{BUNDLE_FILE}); run `mixdq-compile run` again to rebuild it"
            )
        return path

    def _is(self, path: Path) -> bool:
        return path.stat().st_size == self.bytes and sha256_of_file(path) == self.sha256


@dataclass(frozen=True, slots=True, config=STRICT)
class TensorSpec:
    """An engine's input or output: name, NumPy type, shape; a size that changes is `SYMBOLIC`."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, config=STRICT)
class EngineRecord:
    """One engine file.

    Attributes:
        component: the network.
        target: `cpu`, `rtx:sm89`, …
        resolution: pixels; None for engines that serve every resolution (the text encoders).
        file: the engine itself. For ONNX Runtime the graph.
        weights: files that the engine loads beside itself (ONNX external data); shared between engines.
        builder: builder and version: `tensorrt-rtx 1.7.1`, `onnxruntime 1.31.1`.
        built_for: the hardware: `cpu`, `sm89`, or the name of the GPU.
        inputs: the tensors to feed.
        outputs: the tensors that come back.
        scratch_bytes: what it takes of the GPU's memory to compute, beside its weights; None where nobody
            measured it.
    """

    component: Component
    target: str
    resolution: int | None
    file: FileRecord
    weights: tuple[FileRecord, ...]
    builder: str
    built_for: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    scratch_bytes: int | None = None


class SchedulerKind(StrEnum):
    """A sampler, by how it goes from one noise level to the next."""

    EULER_ANCESTRAL = "euler_ancestral"
    EULER = "euler"
    LCM = "lcm"


class TimestepSpacing(StrEnum):
    """Where on the training schedule the Euler samplers' steps lie (Lin et al. 2023, arXiv 2305.08891)."""

    TRAILING = "trailing"
    LEADING = "leading"
    LINSPACE = "linspace"


@dataclass(frozen=True, slots=True, config=STRICT)
class SchedulerSpec:
    """A sampler of epsilon predictions without classifier-free guidance, by all that its numbers depend on.

    Attributes:
        train_timesteps: length of the training schedule (1000).
        beta_start: first beta.
        beta_end: last beta.
        beta_schedule: `scaled_linear` or `linear`.
        kind: the sampler.
        spacing: of the steps; None for LCM, which takes its steps from its distillation's.
        steps_offset: added to each timestep of leading spacing; the others leave it out.
        original_inference_steps: steps of LCM's distillation (50), and the most that it can make; None for
            the others.
        timestep_scaling: of LCM's boundary condition (10): the larger, the less of the noisy sample is kept;
            None for the others.
    """

    train_timesteps: int
    beta_start: float
    beta_end: float
    beta_schedule: str
    kind: SchedulerKind
    spacing: TimestepSpacing | None
    steps_offset: int
    original_inference_steps: int | None
    timestep_scaling: float | None

    def __post_init__(self) -> None:
        """Refuses numbers that are not those of the sampler's kind."""
        lcm = self.kind is SchedulerKind.LCM
        steps, scaling = self.original_inference_steps, self.timestep_scaling
        if not (lcm == (steps is not None) == (scaling is not None) == (self.spacing is None)):
            raise ValueError(
                "original_inference_steps and timestep_scaling belong to lcm alone, spacing to the others; "
                f"found {self}"
            )
        if steps is not None and not 1 <= steps <= self.train_timesteps:
            raise ValueError(
                f"original_inference_steps must be from 1 to train_timesteps ({self.train_timesteps}), not "
                f"{steps}"
            )


@dataclass(frozen=True, slots=True, config=STRICT)
class PipelineSpec:
    """What the runtime needs to know of the model beside its engines.

    Attributes:
        latent_channels: channels of the latent image (4).
        downsampling: pixels per latent pixel along one side (8).
        vae_scaling_factor: latents are divided by it before the VAE decoder.
        max_tokens: length of a tokenized prompt, BOS and EOS included (77).
        bos_token_id: id of the first token.
        eos_token_id: id of the end of the prompt, and of the padding of the first tokenizer.
        pad_token_ids: padding of the first and of the second tokenizer.
        scheduler: the sampler.
        bos_digest: SHA-256 of the BOS row (FP32, little endian) that the engines' constants came from.
    """

    latent_channels: int
    downsampling: int
    vae_scaling_factor: float
    max_tokens: int
    bos_token_id: int
    eos_token_id: int
    pad_token_ids: tuple[int, int]
    scheduler: SchedulerSpec
    bos_digest: str


@dataclass(frozen=True, slots=True, config=STRICT)
class Bundle:
    """Engines of one model under one plan, with everything needed to run them.

    Attributes:
        model: the model and its digest.
        plan_digest: `PrecisionPlan.digest`.
        plan_summary: the plan in words: `W8A8 (BOS-aware, split shortcuts)`.
        granularity: what has a scale of its own.
        layers_digest: `LayerTable.digest`.
        ranges_digest: `RangeTable.digest`; None if nothing is quantized to static ranges.
        resolutions: pixels, ascending.
        batch: images an engine makes at once.
        pipeline: the model beside its engines.
        tokenizers: the first and the second tokenizer, each whole in one file of the `tokenizers` library
            (`tokenizer.json`, what `backend_tokenizer.save` of a transformers tokenizer writes): normalizer,
            merges and special tokens, so that the ids can't differ.
        engines: all engine files.
    """

    model: ModelIdentity
    plan_digest: str
    plan_summary: str
    granularity: str
    layers_digest: str
    ranges_digest: str | None
    resolutions: tuple[int, ...]
    batch: int
    pipeline: PipelineSpec
    tokenizers: tuple[FileRecord, FileRecord]
    engines: tuple[EngineRecord, ...]
    version: int = BUNDLE_VERSION

    def find(self, component: Component, target: str, resolution: int) -> EngineRecord:
        """The engine of a component at a resolution.

        Raises:
            BundleError: the bundle has none; says which there are.
        """
        for engine in self.engines:
            same = engine.component is component and engine.target == target
            if same and engine.resolution in (resolution, None):
                return engine
        targets = ", ".join(sorted({engine.target for engine in self.engines}))
        raise BundleError(
            f"the bundle has no {component} engine for {target} at {resolution} pixels; it was built for "
            f"{targets} at {', '.join(map(str, self.resolutions))}"
        )

    def write(self, root: Path) -> None:
        """Writes `bundle.json` into the bundle's folder, last of all its files."""
        write_text(root / BUNDLE_FILE, to_json(self))

    @classmethod
    def read(cls, root: Path) -> Bundle:
        """Reads the bundle in a folder; engine files are not checked yet.

        Raises:
            BundleError: no bundle there, of another version, or with fields that are missing or wrong.
        """
        path = root / BUNDLE_FILE
        try:
            plain = read_json(dict, path, BundleError)
            # The version first: another one's fields may well be others.
            if (version := plain.get("version")) != BUNDLE_VERSION:
                raise BundleError(
                    f"{path} has {'no version' if version is None else f'version {version}'}, this mixdq "
                    f"reads version {BUNDLE_VERSION}"
                )
            return parse(cls, plain, str(path), BundleError)
        except StorageError as error:
            raise BundleError(
                f"{root} holds no readable bundle ({error}); `mixdq-compile run MODEL --out {root}` makes one"
            ) from error
        except BundleError as error:
            raise BundleError(f"{error}; build the bundle again with this mixdq") from error
