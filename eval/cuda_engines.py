"""A bundle's CUDA engines as what is compared with the simulation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from mixdq.compiler.unet_run import UnetInputs
from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.errors import TargetError
from mixdq.configs.target import Backend, Target
from mixdq.eval.compare.planned import Array
from mixdq.eval.compare.subject import Subject
from mixdq.eval.cuda_agreement import Engines
from mixdq.runtime.engine import run_padded
from mixdq.runtime.loading import load

_LEVELS = 255


def choose_target(bundle: Bundle, name: str | None) -> Target:
    """A cuda target of a bundle.

    Args:
        bundle: what was built.
        name: which; None for the only one.

    Raises:
        TargetError: the bundle has no such engines, or several to choose from.
    """
    built = sorted({engine.target for engine in bundle.engines})
    found = [one for one in built if Target.parse(one).backend is Backend.CUDA and name in (None, one)]
    if len(found) == 1:
        return Target.parse(found[0])
    wanted = "a cuda target" if name is None else name
    raise TargetError(
        f"the bundle was built for {', '.join(built)}, expected {wanted}; "
        + (
            "say which with --target"
            if found
            else "build it with `mixdq-compile run MODEL --target cuda:sm90`"
        )
    )


@contextmanager
def engines_of(subject: Subject, target: Target) -> Iterator[Engines]:
    """Loads a bundle's engines; see `mixdq.runtime.load` for what can be wrong."""
    with load(subject.root, target=str(target)) as pipeline:
        engine = pipeline.engine(Component.UNET, subject.resolution)

        def predict(inputs: UnetInputs) -> Array:
            return run_padded(engine, inputs)["noise_prediction"]

        def draw(prompts: Sequence[str], seeds: Sequence[int]) -> Array:
            images = pipeline(list(prompts), seed=list(seeds), resolution=subject.resolution)
            pixels = np.stack([np.asarray(image) for image in images]).astype(np.float32) / _LEVELS
            return pixels.transpose(0, 3, 1, 2).copy()

        yield Engines(predict, draw)
