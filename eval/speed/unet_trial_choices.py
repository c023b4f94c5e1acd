"""What a UNet's trial can time; imports nothing heavy, so that the command line's help is fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from mixdq.configs.errors import EvaluationError

WAYS = {
    "eager": "diffusers' UNet in FP16, called",
    "graph": "the same in a CUDA graph",
    "compiled": "the same through torch.compile, in a CUDA graph",
    "torchao": "the same with torchao's FP8 linear layers, dynamic activations, compiled, in a CUDA graph",
    "fp16": "the CUDA back end with an all-FP16 plan",
    "w8a8": "the CUDA back end, W8A8, the protected layers W8A16",
    "w4a16": "the CUDA back end, linear layers W4A16 in blocks of 128, convolutions W8A8",
    "w8a8-half": "w8a8 whose producers write FP16 where they would quantize, for the cost of quantization",
}
"""Name and meaning of every way to run the UNet."""

AS_IT_IS = ("graph",)
"""The ways that wait like what is compiled, but have nothing to compile."""

LATE = ("eager",)
"""The ways that are made ready when their turn comes: the processor bounds them, not the GPU."""

OURS = ("fp16", "w8a8", "w4a16", "w8a8-half")
"""The ways of the CUDA back end."""

USUAL_CASES = (
    "torchao:512",
    *(f"{way}:{size}" for way in ("w8a8", "compiled", "fp16") for size in (512, 768, 1024)),
    *(f"w4a16:{size}" for size in (512, 1024, 768)),
    *(f"w8a8-half:{size}" for size in (512, 1024, 768)),
    *(f"{way}:{size}" for way in ("graph", "eager") for size in (512, 768, 1024)),
)
"""What is timed if nothing is chosen, what takes longest to compile first."""


@dataclass(frozen=True, slots=True)
class Case:
    """One way to run the UNet at one size.

    Attributes:
        way: a key of `WAYS`.
        resolution: pixels.
        batch: images at once.
    """

    way: str
    resolution: int
    batch: int

    def __str__(self) -> str:
        """As it is written on the command line."""
        return f"{self.way}:{self.resolution}" + (f":{self.batch}" if self.batch > 1 else "")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads WAY:RESOLUTION or WAY:RESOLUTION:BATCH.

        Raises:
            EvaluationError: it is not of that form, or no such way is known.
        """
        way, *numbers = text.split(":")
        sizes = [int(number) for number in numbers if number.isdecimal() and int(number) > 0]
        if way not in WAYS or len(numbers) not in (1, 2) or len(sizes) != len(numbers):
            raise EvaluationError(
                f"a case is WAY:RESOLUTION or WAY:RESOLUTION:BATCH with a way of {', '.join(WAYS)}, found "
                f"{text}; write w8a8:512 or w8a8:512:4"
            )
        return cls(way, sizes[0], sizes[1] if len(sizes) > 1 else 1)
