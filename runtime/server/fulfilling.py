"""From an order to its pictures, while its client is still there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import Request

from mixdq.runtime.server.errors import ApiError, ClientGoneError
from mixdq.runtime.server.orders import Order, Picture

if TYPE_CHECKING:
    from mixdq.runtime.server.service import Service


async def fulfil(service: Service, order: Order, request: Request, most_s: float) -> tuple[Picture, ...]:
    """Submits an order and waits; who goes away or waits too long has it cancelled.

    Args:
        service: makes the pictures.
        order: which.
        request: whose client waits.
        most_s: seconds after which the client is told that it takes too long.

    Raises:
        OrderError: it was not accepted, or ended without pictures.
        RequestError: its size is not served.
        ClientGoneError: nobody waits any more.
        ApiError: it took too long.
    """
    ticket = service.submit(order)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((ticket.pictures, gone), timeout=most_s, return_when=asyncio.FIRST_COMPLETED)
        if ticket.pictures.done():
            return ticket.pictures.result()
        if gone.done():
            raise ClientGoneError
        raise ApiError(504, f"the pictures were not made within {most_s:g} s", code="too_slow")
    finally:
        gone.cancel()
        if not ticket.pictures.done():
            ticket.cancel()


async def _gone(request: Request) -> None:
    """Returns when the client goes away; its body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
