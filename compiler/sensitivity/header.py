"""All that decides the figures of a measurement, so that one run never goes on with another's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT
from mixdq.configs.errors import EvaluationError
from mixdq.configs.sensitivity import Operand


@dataclass(frozen=True, slots=True, config=STRICT)
class Header:
    """The first line of a journal.

    Attributes:
        model: name of what is measured.
        model_digest: of its configurations and weights.
        layers_digest: of its architecture.
        ranges_digest: of the activations' ranges.
        prompts: how many.
        prompts_digest: SHA-256 of their text.
        seed: of the first prompt's noise.
        resolution: pixels.
        widths: bits by operand.
        bos_aware: whether token 0 leaves the quantized path.
        every_metric: whether quality layers are judged by pictures, too.
        device: `cpu`, or the GPU's name.
        threads: of the CPU, on which the order of its sums depends; None on a GPU.
        precision: of text encoders and UNet.
        batch: prompts at once.
        compiled: whether torch compiled the VAE's decoder.
        torch: its version.
        code: digest of what measures.
    """

    model: str
    model_digest: str
    layers_digest: str
    ranges_digest: str
    prompts: int
    prompts_digest: str
    seed: int
    resolution: int
    widths: Mapping[Operand, tuple[int, ...]]
    bos_aware: bool
    every_metric: bool
    device: str
    threads: int | None
    precision: str
    batch: int
    compiled: bool
    torch: str
    code: str
    version: int = 1

    def check(self, kept: Header, where: str) -> None:
        """Refuses to go on with what another measurement kept.

        Raises:
            EvaluationError: names all that differs.
        """
        changes = [
            f"{field.name.replace('_', ' ')} {_short(old)}, now {_short(new)}"
            for field in fields(self)
            if (old := getattr(kept, field.name)) != (new := getattr(self, field.name))
        ]
        if changes:
            raise EvaluationError(
                f"{where} holds layers of another measurement ({'; '.join(changes)}); give another --out, "
                "repeat the earlier command to go on with it, or drop it with --restart"
            )


_DIGEST = 64


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {'/'.join(map(str, bits))}" for key, bits in value.items())
    text = str(value)
    return text[:12] if len(text) == _DIGEST else text
