"""How builders work: what a user may choose, and what the layout brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT
from mixdq.configs.errors import TargetError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.target import Backend, Target

Profile: TypeAlias = Mapping[str, tuple[int, ...]]
"""The shape of every input at one resolution, by name."""


@dataclass(frozen=True, slots=True, config=STRICT)
class BuildOptions:
    """What a user may choose of a build.

    Attributes:
        timing_cache: a file of TensorRT's timings: read if it is there, and written after the build.
        strip_weights: engines without weights, which are in one file that all of them share.
        tiles: of the CUDA back end: a table of its kernels' tiles that was tuned for this GPU; None for the
            one that ships for it.
    """

    timing_cache: Path | None
    strip_weights: bool
    tiles: Path | None = None

    def check_used(self, targets: Sequence[Target]) -> None:
        """Refuses options that none of the targets has a use for.

        Raises:
            TargetError: says which option to leave out.
        """
        if self.tiles is not None and all(target.backend is not Backend.CUDA for target in targets):
            raise TargetError(
                "--tiles is for the kernels of a cuda target, and there is none; leave it out, or add "
                "--target cuda:sm90, say"
            )
        if any(target.backend is not Backend.CPU for target in targets):
            return
        given = {"--timing-cache": self.timing_cache is not None, "--strip-weights": self.strip_weights}
        for option in (name for name, is_given in given.items() if is_given):
            raise TargetError(
                f"{option} is for TensorRT's engines, and the only target is cpu, whose engine is the graph; "
                f"leave {option} out, or add --target tensorrt"
            )

    def check(self, target: Target) -> None:
        """Refuses what a target's builder can't do, before any work begins.

        Raises:
            TargetError: says which option to leave out.
        """
        if target.backend is Backend.CUDA and (self.timing_cache is not None or self.strip_weights):
            option = "--strip-weights" if self.timing_cache is None else "--timing-cache"
            raise TargetError(
                f"{option} is for TensorRT's engines, and {target} has none: its packages hold no weights in "
                f"any case; leave {option} out"
            )
        if self.timing_cache is not None and target.backend is Backend.RTX:
            raise TargetError(
                f"{target} takes no timing cache: TensorRT for RTX measures nothing when it builds, because "
                "its kernels are compiled on the GPU that runs them; leave --timing-cache out"
            )
        if self.strip_weights and target.backend is Backend.RTX and find_gpu() is None:
            raise TargetError(
                f"engines without weights for {target} can be built only on a machine with an NVIDIA GPU "
                "(TensorRT for RTX 1.7 fails with a CUDA error elsewhere), and this machine has none that "
                "its driver shows; leave --strip-weights out"
            )
