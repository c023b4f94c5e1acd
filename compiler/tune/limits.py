"""Within what a plan is tuned, and what may be published."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic.dataclasses import dataclass

from mixdq.compiler.allocate.amounts import memory_in_words
from mixdq.compiler.tune.trial import Trial
from mixdq.configs.documents import STRICT
from mixdq.configs.errors import RequestError


@dataclass(frozen=True, slots=True, config=STRICT)
class Limits:
    """What a published plan keeps.

    Attributes:
        floor_db: least PSNR of its pictures against full precision's; None for any.
        bytes: most that the quantizable layers may take, weights and scales; None for any.
        clipped: largest share of a layer's input that may be beyond its range.
        ends: by how much the share of black and white values of pictures may exceed full precision's.

    Raises:
        RequestError: a share that is none, or a floor that no picture reaches.
    """

    floor_db: float | None
    bytes: int | None
    clipped: float
    ends: float

    def __post_init__(self) -> None:
        """Refuses shares that are none."""
        for option, share in (("--max-clipped", self.clipped), ("--max-saturated", self.ends)):
            if not 0 <= share <= 1:
                raise RequestError(f"{option} {share:g} is no share; use 0 to 1 (0.01 is a hundredth)")
        if self.floor_db is not None and self.floor_db <= 0:
            raise RequestError(
                f"--floor {self.floor_db:g} dB is below any picture; use 20 to 50, for example"
            )

    def faults(self, trial: Trial) -> Iterator[str]:
        """Why a plan must not be published, speed aside."""
        for resolution, outputs in trial.outputs.items():
            if not outputs.finite:
                at = f", first in the input of {outputs.broken[0]}" if outputs.broken else ""
                yield f"it computes NaN or infinity at {resolution} pixels{at}"
            if outputs.ends - outputs.full_ends > self.ends:
                yield (
                    f"{outputs.ends:.1%} of its pictures at {resolution} pixels are black or white, of full "
                    f"precision's {outputs.full_ends:.1%}"
                )
        if clipped := trial.clipped(self.clipped):
            layer, share = max(clipped.items(), key=lambda item: item[1])
            yield (
                f"{len(clipped)} layers clip more than {self.clipped:.2%} of their input, {layer} {share:.2%}"
            )
        if not self.reaches_floor(trial):
            yield f"its pictures have {trial.psnr_db:.2f} dB, and the floor is {self.floor_db:g} dB"
        if self.bytes is not None and trial.bytes > self.bytes:
            yield (
                f"it takes {memory_in_words(8 * trial.bytes, up=True)}, and the budget is "
                f"{memory_in_words(8 * self.bytes)}"
            )

    def reaches_floor(self, trial: Trial) -> bool:
        """Whether its pictures are near enough to full precision's; pictures that are none count as such."""
        found = trial.psnr_db
        return self.floor_db is None or found is None or found >= self.floor_db

    def room(self, trial: Trial) -> int | None:
        """Bytes that returned layers may add; None for any number."""
        return None if self.bytes is None else max(0, self.bytes - trial.bytes)
