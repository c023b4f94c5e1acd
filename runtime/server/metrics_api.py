"""`GET /metrics`."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import PlainTextResponse, Response

from mixdq.runtime.server.errors import documented


def metrics_router(registry: CollectorRegistry) -> APIRouter:
    """The route, in Prometheus' text format."""
    router = APIRouter(tags=["operation"])

    @router.get("/metrics", response_class=PlainTextResponse, responses=documented(401))
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router
