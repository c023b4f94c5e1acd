"""A folder of pictures with its manifest: which prompt and seed each came from, and what drew it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text
from mixdq.configs.layers import ModelIdentity

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True, config=STRICT)
class Painter:
    """What drew the pictures: all that their values depend on beside prompts and seeds.

    Attributes:
        kind: `bundle`, or `reference` for diffusers' own pipeline.
        model: the model and its digest.
        plan: the precision plan in words (`W8A8 (BOS-aware, split shortcuts)`), or the reference's precision
            (`float32`; `float16, VAE float32` where the VAE's is another).
        plan_digest: `PrecisionPlan.digest`; None for the reference.
        engines: SHA-256 of each file that the engines are made of, stored weights included, by its path in
            the bundle; empty for the reference.
        target: `cpu`, `rtx:sm89`, …; `diffusers` for the reference.
        device: `cpu` or `cuda`.
        scheduler: the sampler's kind.
        steps: denoising steps.
        resolution: pixels of each side.
    """

    kind: str
    model: ModelIdentity
    plan: str
    plan_digest: str | None
    engines: Mapping[str, str]
    target: str
    device: str
    scheduler: str
    steps: int
    resolution: int


@dataclass(frozen=True, slots=True, config=STRICT)
class Arrangement:
    """How pictures were computed: what their last bits depend on beside the painter.

    Attributes:
        batch: pictures of one call.
        jobs: calls side by side.
        threads: of each call on the CPU; None on a GPU.
    """

    batch: int
    jobs: int
    threads: int | None


@dataclass(frozen=True, slots=True, config=STRICT)
class ImageRecord:
    """One picture: its place in the list of prompts, its prompt and noise, and its file in the folder."""

    index: int
    prompt: str
    seed: int
    file: str
    sha256: str


@dataclass(frozen=True, slots=True, config=STRICT)
class ImageSet:
    """The manifest of a folder of pictures (`manifest.json`).

    Attributes:
        painter: what drew them.
        prompts_digest: SHA-256 over the whole list of prompts and seeds that was asked for.
        count: how many pictures were asked for; the set is whole when `images` has as many.
        images: those that are drawn, by ascending index.
        machine: where.
        versions: packages, by name.
        arrangements: how pictures were computed, in the order of use; a set of more than one is mixed: its
            batch was made smaller on the way. Empty in version 1, which did not note it.
    """

    painter: Painter
    prompts_digest: str
    count: int
    images: tuple[ImageRecord, ...]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    arrangements: tuple[Arrangement, ...] = ()
    version: int = 2

    @property
    def is_whole(self) -> bool:
        """Whether every picture that was asked for is drawn."""
        return len(self.images) == self.count

    def write(self, folder: Path) -> None:
        """Writes the manifest into the pictures' folder."""
        write_text(folder / MANIFEST_FILE, to_json(self))

    @classmethod
    def read(cls, folder: Path) -> ImageSet:
        """Reads the manifest of a folder; the pictures are not looked at.

        Raises:
            EvaluationError: the manifest has another form.
            StorageError: there is none.
        """
        return read_json(cls, folder / MANIFEST_FILE, EvaluationError)
