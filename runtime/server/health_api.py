"""Probes: `/health/live`, `/health/ready`, and the earlier server's `/health`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from mixdq.runtime.server.errors import documented
from mixdq.runtime.server.orders import NotServingError

if TYPE_CHECKING:
    from mixdq.runtime.server.service import Service


class LiveBody(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class ReadyBody(BaseModel):
    """Orders are accepted."""

    status: Literal["ready"] = "ready"


class HealthBody(BaseModel):
    """As the earlier server's clients read it."""

    status: Literal["ok"] = "ok"


def health_router(service: Service) -> APIRouter:
    """The routes; none needs a key."""
    router = APIRouter(tags=["operation"])

    @router.get("/health/live")
    async def live() -> LiveBody:
        """Whether the process answers: restart it if it doesn't."""
        return LiveBody()

    @router.get("/health/ready", responses=documented(503))
    async def ready() -> ReadyBody:
        """Whether orders are accepted: send none if they aren't."""
        _check(service)
        return ReadyBody()

    @router.get("/health", responses=documented(503))
    async def health() -> HealthBody:
        """Whether orders are accepted, for clients of the earlier server."""
        _check(service)
        return HealthBody()

    return router


def _check(service: Service) -> None:
    status = service.status()
    if not status.is_ready:
        workers = ", ".join(worker.phase for worker in status.workers) or "none"
        raise NotServingError(f"the server is {status.state}; its workers: {workers}")
