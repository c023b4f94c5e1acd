"""The HTTP application: routes, and what every request passes before it reaches one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.middleware import Middleware

from mixdq.runtime.server.auth import RequireKey
from mixdq.runtime.server.encode import Encoder
from mixdq.runtime.server.errors import add_error_handlers
from mixdq.runtime.server.glance import Glance
from mixdq.runtime.server.health_api import health_router
from mixdq.runtime.server.images_api import images_router
from mixdq.runtime.server.legacy import legacy_router
from mixdq.runtime.server.limits import LimitBody
from mixdq.runtime.server.logs import AccessLog
from mixdq.runtime.server.metrics import HttpMetrics
from mixdq.runtime.server.metrics_api import metrics_router
from mixdq.runtime.server.models_api import models_router
from mixdq.runtime.server.page_api import page_router
from mixdq.runtime.server.settings import HttpSettings
from mixdq.runtime.server.status_api import RecentSizes, status_router

if TYPE_CHECKING:
    from mixdq.runtime.server.service import Service

_TITLE = "mixdq"


def create_app(
    service: Service,
    settings: HttpSettings,
    encoder: Encoder,
    registry: CollectorRegistry,
    recent: RecentSizes,
) -> FastAPI:
    """Everything that is served over HTTP; the service is started and stopped by others.

    Args:
        service: makes the pictures.
        settings: limits and keys.
        encoder: makes files of pictures.
        registry: of the figures at `/metrics`.
        recent: observes the service.
    """
    app = FastAPI(
        title=_TITLE,
        summary="Pictures under load, at the best size that keeps a latency objective",
        version="1",
        # Those pages load their scripts from elsewhere; the document itself is at /openapi.json.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(AccessLog, metrics=HttpMetrics(registry)),
            Middleware(RequireKey, keys=settings.keys),
            Middleware(LimitBody, most_bytes=settings.body_bytes, most_s=settings.body_s),
        ],
    )
    add_error_handlers(app)
    glance = Glance(service)
    for router in (
        images_router(service, glance, settings, encoder),
        models_router(glance),
        health_router(service),
        status_router(glance, recent, settings),
        metrics_router(registry),
        legacy_router(service, glance, settings, encoder),
        page_router(),
    ):
        app.include_router(router)
    return app
