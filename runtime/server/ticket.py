"""An order that was accepted, until its pictures are there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from mixdq.runtime.server.orders import Order, Picture

Pictures: TypeAlias = tuple[Picture, ...]


class Ticket:
    """What who ordered holds.

    Attributes:
        order: what was asked for.
        numbers: of its requests, one a seed.
        pictures: one a seed, in that order; or the `OrderError` that ended it.
    """

    __slots__ = ("_cancel", "_made", "_missing", "numbers", "order", "pictures")

    def __init__(self, order: Order, numbers: tuple[int, ...], cancel: Callable[[Ticket], None]) -> None:
        self.order, self.numbers = order, numbers
        self.pictures: asyncio.Future[Pictures] = asyncio.get_running_loop().create_future()
        # Whoever stops waiting for a future cancels it.
        self.pictures.add_done_callback(self._notice)
        self._cancel = cancel
        self._made: list[Picture | None] = [None] * len(order.seeds)
        self._missing = len(order.seeds)

    def cancel(self) -> None:
        """Whoever ordered went away: what waits is dropped, what runs is for no one."""
        self._cancel(self)

    def put(self, place: int, picture: Picture) -> None:
        """One of the pictures is there."""
        self._made[place] = picture
        self._missing -= 1
        if not self._missing and not self.pictures.done():
            self.pictures.set_result(tuple(one for one in self._made if one is not None))

    def end(self, error: Exception | None) -> bool:
        """Ends without pictures, None for cancelled; False if it has ended before."""
        if self.pictures.done():
            return False
        if error is None:
            self.pictures.cancel()
        else:
            self.pictures.set_exception(error)
            # One that no one waits for is no defect.
            self.pictures.exception()
        return True

    def _notice(self, pictures: asyncio.Future[Pictures]) -> None:
        if pictures.cancelled():
            self.cancel()
