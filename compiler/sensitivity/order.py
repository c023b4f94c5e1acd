"""What a measurement of sensitivities is asked to do; it travels to the child process that does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.configs.errors import RequestError
from mixdq.configs.files import sha256_of_text
from mixdq.configs.mixdq_format.scores import WIDTHS
from mixdq.configs.ranges import RangeTable
from mixdq.configs.sensitivity import Measurement, Operand
from mixdq.export.source import SourceModel

PRECISIONS = ("float32", "float16")
"""What text encoders and UNet can compute in."""

_NONE = "none"
_MOST_PROMPTS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class SensitivityOrder:
    """What to measure, how, and into which file.

    Attributes:
        source: the checked model.
        prompts: at least one.
        seed: prompt i starts from the noise of seed + i.
        resolution: pixels.
        widths: the bits to try, ascending, by operand.
        bos_aware: whether token 0 leaves the quantized path of cross-attention's K and V.
        every_metric: whether quality layers are judged by pictures, too.
        ranges: of the activations; None to measure them over the same prompts.
        device: `cpu` or `cuda`; None for a GPU where there is one.
        precision: of text encoders and UNet.
        batch: prompts at once; None for what suits device and resolution.
        compile_decoder: whether torch compiles the VAE's decoder.
        layers: patterns of names; empty for all layers.
        sample: how many of these, evenly spread; None for all.
        out: the table to write.
        restart: whether what an earlier run measured is dropped.
    """

    source: SourceModel
    prompts: tuple[str, ...]
    seed: int
    resolution: int
    widths: Mapping[Operand, tuple[int, ...]]
    bos_aware: bool
    every_metric: bool
    ranges: RangeTable | None
    device: str | None
    precision: str
    batch: int | None
    compile_decoder: bool
    layers: tuple[str, ...]
    sample: int | None
    out: Path
    restart: bool

    def __post_init__(self) -> None:
        """Refuses what no machine could do.

        Raises:
            RequestError: names what is out of bounds.
        """
        self.source.check_resolution(self.resolution)
        if self.precision not in PRECISIONS:
            raise RequestError(f"--precision is one of {', '.join(PRECISIONS)}, not {self.precision!r}")
        if self.batch is not None and not 1 <= self.batch <= _MOST_PROMPTS_AT_ONCE:
            raise RequestError(
                f"--batch {self.batch} is out of bounds; use 1 to {_MOST_PROMPTS_AT_ONCE} prompts"
            )
        if self.sample is not None and self.sample < 1:
            raise RequestError(f"--sample {self.sample} is no number of layers; use at least 1")

    @property
    def trials(self) -> int:
        """How many variants of a layer run side by side."""
        return sum(len(bits) for bits in self.widths.values())

    @property
    def measurement(self) -> Measurement:
        """What the table says was run."""
        return Measurement(
            prompts=len(self.prompts),
            prompts_digest=sha256_of_text("\n".join(self.prompts)),
            seed=self.seed,
            resolution=self.resolution,
            steps=1,
            bos_aware=self.bos_aware,
        )

    @property
    def journal(self) -> Path:
        """Where finished layers are kept until all are."""
        return self.out.with_name(f"{self.out.name}.journal")

    @property
    def ranges_file(self) -> Path:
        """Where ranges that were measured for this order are kept."""
        return self.out.with_name(f"{self.out.stem}.ranges.json")


def parse_widths(weights: str, activations: str) -> Mapping[Operand, tuple[int, ...]]:
    """The widths of both options: numbers with commas between them, or `none`.

    Raises:
        RequestError: no such numbers, or none at all.
    """
    options = {
        Operand.WEIGHT: ("--weight-widths", weights),
        Operand.ACTIVATION: ("--activation-widths", activations),
    }
    widths = {operand: _widths(*option) for operand, option in options.items()}
    found = {operand: bits for operand, bits in widths.items() if bits}
    if not found:
        raise RequestError(
            "both operands are left out; give --weight-widths or --activation-widths, as in 2,4,8"
        )
    return found


def check_mixdq(widths: Mapping[Operand, Sequence[int]]) -> None:
    """Refuses widths that MixDQ's files can't hold.

    Raises:
        RequestError: one of 2, 4 and 8 is missing.
    """
    for operand, bits in widths.items():
        if missing := [str(width) for width in WIDTHS if width not in bits]:
            raise RequestError(
                f"--mixdq writes scores at 2, 4 and 8 bits, and --{operand}-widths lacks {', '.join(missing)}"
                "; measure these too, or leave --mixdq out"
            )


def _widths(option: str, text: str) -> tuple[int, ...]:
    if text.strip().lower() == _NONE:
        return ()
    try:
        bits = sorted({int(word) for word in text.split(",")})
    except ValueError:
        bits = []
    if not bits or not 2 <= bits[0] <= bits[-1] <= 8:
        raise RequestError(
            f"{option} {text!r} are no widths; give numbers of 2 to 8 bits with commas between them, as in "
            f"2,4,8, or {_NONE}"
        )
    return tuple(bits)
