"""What a caller asks for, checked before anything runs."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from mixdq.configs.errors import RequestError

Seed: TypeAlias = int | np.integer[Any]
Seeds: TypeAlias = Sequence[Seed] | npt.NDArray[np.integer[Any]]
"""Several seeds: a list or the like, or a NumPy array of one dimension."""


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """Pictures that are made together.

    Attributes:
        prompts: one a picture.
        seeds: one a picture.
        resolution: pixels of each side, of all of them.
        steps: denoising steps.
    """

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    resolution: int
    steps: int

    def part(self, start: int, count: int) -> PictureRequest:
        """At most `count` of the pictures, from the one at `start`."""
        end = start + count
        return replace(self, prompts=self.prompts[start:end], seeds=self.seeds[start:end])


def parse_request(
    prompt: str | Sequence[str],
    seed: Seed | Seeds,
    resolution: int | None,
    steps: int,
    resolutions: tuple[int, ...],
) -> PictureRequest:
    """A checked request; one prompt or one seed serves all pictures.

    Raises:
        RequestError: no picture is asked for, prompts and seeds don't pair up, a seed is negative, a number
            is no integer, the resolution is none of `resolutions` or left open between several.
    """
    prompts = [prompt] if isinstance(prompt, str) or not isinstance(prompt, Sequence) else list(prompt)
    if not all(isinstance(one, str) for one in prompts):
        raise RequestError(f"a prompt is text or a list of texts, not {prompt!r}")
    seeds = [_integer(one, "a seed") for one in (seed if is_several(seed) else [seed])]
    if negative := [one for one in seeds if one < 0]:
        raise RequestError(f"a seed is 0 or a positive integer, not {negative[0]}")
    if not prompts or not seeds:
        raise RequestError("an empty list asks for no picture; pass at least one prompt and one seed")
    if len(prompts) != len(seeds) and 1 not in (len(prompts), len(seeds)):
        raise RequestError(
            f"{len(prompts)} prompts and {len(seeds)} seeds don't pair up; pass one seed for each prompt, "
            "or a single one"
        )
    count = max(len(prompts), len(seeds))
    return PictureRequest(
        prompts=tuple(prompts * count if len(prompts) == 1 else prompts),
        seeds=tuple(seeds * count if len(seeds) == 1 else seeds),
        resolution=_choose(resolution, resolutions),
        steps=_integer(steps, "the number of steps"),
    )


def is_several(seed: Seed | Seeds) -> TypeGuard[Seeds]:
    """Whether these are several seeds; an array of no dimension is one."""
    return isinstance(seed, Sequence) or (isinstance(seed, np.ndarray) and seed.ndim > 0)


def _integer(value: object, what: str) -> int:
    try:
        if isinstance(value, SupportsIndex) and not isinstance(value, bool):
            return operator.index(value)
    except TypeError:  # an array has `__index__` whatever it holds
        pass
    raise RequestError(f"{what} is an integer, not {value!r}")


def _choose(resolution: int | None, resolutions: tuple[int, ...]) -> int:
    known = ", ".join(map(str, resolutions))
    if resolution is None and len(resolutions) == 1:
        return resolutions[0]
    if resolution is None:
        raise RequestError(f"the bundle makes pictures of {known} pixels; pass resolution= one of them")
    pixels = _integer(resolution, "a resolution")
    if pixels not in resolutions:
        raise RequestError(
            f"the bundle makes pictures of {known} pixels, not of {pixels}; choose one of them, or "
            f"build it with `mixdq-compile run MODEL --resolution {pixels}`"
        )
    return pixels
