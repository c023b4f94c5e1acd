"""How long pictures really keep a worker: from the times that a server tells of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from mixdq.configs.errors import EvaluationError
from mixdq.eval.load.sample import Sample


class Occupied(NamedTuple):
    """One picture on the worker.

    Attributes:
        size: pixels.
        seconds: from its beginning to when the next could begin.
    """

    size: int
    seconds: float


def occupancies(samples: Sequence[Sample]) -> tuple[Occupied, ...]:
    """What each picture took of a server's only worker.

    Where the next one waited already, that is the time between the two beginnings, in which all that the
    server does between two pictures is contained; elsewhere what the worker says that it took. The time from
    the client to the server, much the same for all, drops out.

    Raises:
        EvaluationError: the server doesn't tell its times, or makes several pictures at once.
    """
    begun = sorted(_begun(sample) for sample in samples if sample.reply.status == 200)
    found = [
        Occupied(
            one.size, after.began_s - one.began_s if after.came_s < one.done_s else one.done_s - one.began_s
        )
        for one, after in pairwise(begun)
    ]
    return tuple(found + [Occupied(one.size, one.done_s - one.began_s) for one in begun[-1:]])


class _Begun(NamedTuple):
    began_s: float
    came_s: float
    done_s: float
    size: int


def _begun(sample: Sample) -> _Begun:
    reply = sample.reply
    if reply.size is None or reply.wait_s is None or reply.service_s is None:
        raise EvaluationError("the server does not tell what its pictures took; use `mixdq-serve`'s own API")
    if reply.batch != 1:
        raise EvaluationError(
            f"the server made {reply.batch} pictures at once; what one of them took is not known: use a "
            "bundle of batch 1"
        )
    began_s = sample.sent_s + reply.wait_s
    return _Begun(began_s, sample.sent_s, began_s + reply.service_s, reply.size)
