"""The queue: bounded, in the order in which requests are served. A data structure, without threads."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from mixdq.runtime.policy.request import Request


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much may wait.

    Attributes:
        count: requests.
        byte_count: bytes that they hold together.
    """

    count: int
    byte_count: int


class RequestQueue:
    """Requests by class, within one by deadline, within one by arrival."""

    __slots__ = ("_byte_count", "_keys", "_limits", "_waiting")

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._keys: list[tuple[int, float, int]] = []
        self._waiting: list[Request] = []
        self._byte_count = 0

    @property
    def waiting(self) -> Sequence[Request]:
        """In the order in which they are served; to be read only."""
        return self._waiting

    @property
    def byte_count(self) -> int:
        """What all of them hold together."""
        return self._byte_count

    def __len__(self) -> int:
        return len(self._waiting)

    def has_room_for(self, request: Request) -> bool:
        """Whether another one stays within the limits."""
        limits = self._limits
        return (
            len(self._waiting) < limits.count and self._byte_count + request.byte_count <= limits.byte_count
        )

    def place_of(self, request: Request) -> int:
        """How many would be served before it."""
        key = request.order
        # Most have the latest deadline of all that wait.
        if not self._keys or key > self._keys[-1]:
            return len(self._keys)
        return bisect_left(self._keys, key)

    def put(self, request: Request, place: int | None = None) -> None:
        """Adds one, within the limits or not: what was accepted before may come back.

        Args:
            request: which.
            place: what `place_of` gives for it, if that is known.
        """
        if place is None:
            place = self.place_of(request)
        self._keys.insert(place, request.order)
        self._waiting.insert(place, request)
        self._byte_count += request.byte_count

    def take(self, request: Request) -> bool:
        """Removes one; False if it does not wait here."""
        # Most are the first.
        first = bool(self._waiting) and self._waiting[0] is request
        place = 0 if first else bisect_left(self._keys, request.order)
        if place == len(self._waiting) or self._waiting[place] is not request:
            return False
        del self._keys[place], self._waiting[place]
        self._byte_count -= request.byte_count
        return True
