"""What is asked for: pictures with their prompts, seeds and file names, the same for every configuration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_text

_DIGITS = 4
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Order:
    """One picture to draw.

    Attributes:
        index: its prompt's place in the whole list, from 0.
        prompt: what to draw.
        seed: of its noise, all of it: the latents, and what an ancestral sampler adds between steps.
        file: its name, `0007.png`.
    """

    index: int
    prompt: str
    seed: int
    file: str


def order_pictures(
    prompts: Sequence[str], *, seed: int, start: int, count: int | None, allow_duplicates: bool
) -> tuple[Order, ...]:
    """The pictures of a part of a list of prompts.

    Prompt i of the list (from 0, skipped lines of its file not counted) is drawn with the seed `seed + i`,
    whichever part is asked for, so that several machines may share one list. File names have as many digits
    as the last index of the whole list, four at least.

    Args:
        prompts: the whole list.
        seed: of prompt 0.
        start: index of the first prompt to draw.
        count: how many; None for all that follow.
        allow_duplicates: whether a prompt may occur twice in the part. The pictures differ by their seeds,
            but scores that compare a picture with other prompts then find its own among them.

    Raises:
        EvaluationError: there are not so many prompts, or one occurs twice.
    """
    wanted = len(prompts) - start if count is None else count
    if start < 0 or wanted < 1 or start + wanted > len(prompts):
        asked = f"all from {start}" if count is None else f"{count} from {start}"
        raise EvaluationError(
            f"the file holds {len(prompts)} prompts, and {asked} were asked for; lower --count or --start, "
            "or give a longer list"
        )
    digits = max(_DIGITS, len(str(len(prompts) - 1)))
    pictures = tuple(
        Order(index, prompts[index], seed + index, f"{index:0{digits}d}.png")
        for index in range(start, start + wanted)
    )
    if not allow_duplicates:
        _refuse_duplicates(pictures)
    return pictures


def order_digest(pictures: Sequence[Order]) -> str:
    """SHA-256 of indices, seeds and prompts: equal for two sets whose pictures pair up."""
    plain = [[picture.index, picture.seed, picture.prompt] for picture in pictures]
    return sha256_of_text(json.dumps(plain, ensure_ascii=False))


def _refuse_duplicates(pictures: Sequence[Order]) -> None:
    places: dict[str, list[int]] = {}
    for picture in pictures:
        places.setdefault(picture.prompt, []).append(picture.index)
    twice = [(prompt, found) for prompt, found in places.items() if len(found) > 1]
    if twice:
        named = "; ".join(
            f"prompts {', '.join(map(str, found))} are all {prompt!r}" for prompt, found in twice[:_NAMED]
        )
        more = f"; {len(twice) - _NAMED} more" if len(twice) > _NAMED else ""
        raise EvaluationError(
            f"the list repeats prompts: {named}{more} (counted from 0, blank lines left out); remove the "
            "copies, or keep them with --allow-duplicates: each has its own seed, so the pictures differ"
        )
