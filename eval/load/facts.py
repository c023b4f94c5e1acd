"""What a server says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from mixdq.eval.load.http import Server


@dataclass(frozen=True, slots=True)
class Facts:
    """Of `GET /status`; None and empty where the server doesn't tell.

    Attributes:
        objective_s: when a picture is due, of requests that say nothing.
        utilities: of a picture by its pixels.
        precision: the bundle's plan in words.
        policy: what decides.
        service_s: of one picture alone by its pixels, as the policy expects it.
    """

    objective_s: float | None = None
    utilities: Mapping[int, float] = field(default_factory=dict)
    precision: str | None = None
    policy: str | None = None
    service_s: Mapping[int, float] = field(default_factory=dict)


async def read_facts(session: aiohttp.ClientSession, server: Server) -> Facts:
    """What the server tells; another server of this API tells nothing."""
    try:
        async with session.get(server.at("status")) as response:
            status = json.loads(await response.read())
        objective_ms = status.get("objective_ms")
        return Facts(
            None if objective_ms is None else float(objective_ms) / 1e3,
            {int(size): float(utility) for size, utility in (status.get("utilities") or {}).items()},
            status.get("precision"),
            status.get("policy"),
            {int(size): time_ms / 1e3 for size, time_ms in (status.get("service_ms") or {}).items()},
        )
    except (aiohttp.ClientError, OSError, ValueError, TypeError, AttributeError):
        return Facts()
