"""What the HTTP side allows its clients."""

from __future__ import annotations

from dataclasses import dataclass

from mixdq.runtime.server.auth import ApiKeys


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Limits and keys.

    Attributes:
        keys: that clients must have one of; none if everyone may ask.
        body_bytes: of a request's body.
        body_s: seconds in which a body has to arrive.
        prompt_characters: of a prompt.
        most_pictures: of one request.
        request_s: seconds after which a request is given up, whatever its deadline.
        steps: denoising steps of every picture.
        log_prompts: whether the log holds prompts.
        target: what the engines were built for, for people.
        has_utilities: whether it is known what pictures of each size are worth.
    """

    keys: ApiKeys
    body_bytes: int
    body_s: float
    prompt_characters: int
    most_pictures: int
    request_s: float
    steps: int
    log_prompts: bool
    target: str
    has_utilities: bool
