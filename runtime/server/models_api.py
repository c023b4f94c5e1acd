"""`GET /v1/models`."""

from __future__ import annotations

import time

from fastapi import APIRouter

from mixdq.runtime.server.errors import ApiError, documented
from mixdq.runtime.server.glance import Glance
from mixdq.runtime.server.schemas import ModelList, ModelObject


def models_router(glance: Glance) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/models", tags=["models"])

    @router.get("", responses=documented(401, 503))
    async def list_models() -> ModelList:
        """The model that is served."""
        return ModelList(data=[_model(glance)])

    @router.get("/{model}", responses=documented(401, 404, 503))
    async def retrieve_model(model: str) -> ModelObject:
        """One model by its name."""
        check_model(model, glance)
        return _model(glance)

    return router


def check_model(name: str | None, glance: Glance) -> str:
    """The name of the model that is served.

    Args:
        name: what was asked for; None for whatever there is.
        glance: at the service.

    Raises:
        ApiError: another one was asked for.
        NotServingError: none is loaded yet.
    """
    served = glance.bundle.model.name
    if name not in (None, served):
        raise ApiError(
            404, f"there is no model {name!r} here, but {served!r}", param="model", code="model_not_found"
        )
    return served


def _model(glance: Glance) -> ModelObject:
    bundle = glance.bundle
    return ModelObject(
        id=bundle.model.name,
        created=int(time.time() - glance.status().uptime_s),
        owned_by="mixdq",
        precision=bundle.plan_summary,
        sizes=[f"{side}x{side}" for side in bundle.resolutions],
    )
