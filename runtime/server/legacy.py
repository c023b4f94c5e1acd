"""`POST /generate` and `GET /health`, as clients of the earlier server know them."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response

from mixdq.configs.errors import MixdqError
from mixdq.runtime.server.encode import Encoder, PictureFormat
from mixdq.runtime.server.errors import ApiError
from mixdq.runtime.server.fulfilling import fulfil
from mixdq.runtime.server.glance import Glance
from mixdq.runtime.server.images_api import ERRORS, check_prompt, prompt_note, random_seed
from mixdq.runtime.server.logs import note
from mixdq.runtime.server.orders import Order
from mixdq.runtime.server.schemas import GenerateRequest, GenerateResponse
from mixdq.runtime.server.settings import HttpSettings

if TYPE_CHECKING:
    from mixdq.runtime.server.service import Service

_NO_GUIDANCE = 1.0
_FLOATING_BITS = 16


def legacy_router(service: Service, glance: Glance, settings: HttpSettings, encoder: Encoder) -> APIRouter:
    """The route that makes pictures; `GET /health` is with the other ones."""
    router = APIRouter()

    @router.post("/generate", response_model=GenerateResponse, responses=ERRORS, tags=["earlier clients"])
    async def generate(body: GenerateRequest, request: Request) -> Response:
        """Draws one picture."""
        began_s = time.monotonic()
        check_prompt(body.prompt, settings)
        _check_fixed(body, glance.bundle.plan_summary, settings.steps)
        seed = random_seed() if body.seed is None else body.seed
        note(size=body.res or "auto", n=1, **prompt_note(body.prompt, settings))
        order = Order(prompt=body.prompt, seeds=(seed,), size=body.res, steps=settings.steps)
        (picture,) = await fulfil(service, order, request, settings.request_s)
        made_s = time.monotonic()
        peaks = [worker.peak_bytes for worker in glance.status().workers if worker.peak_bytes is not None]
        answer = GenerateResponse(
            lat_ms=round(1e3 * (made_s - began_s), 3),
            peak_mem_gb=round(max(peaks) / 1e9, 3) if peaks else None,
            png=await encoder.base64(picture.pixels, PictureFormat.PNG, 100),
        )
        return Response(answer.model_dump_json(), media_type="application/json")

    return router


def weight_bits(precision: str) -> int:
    """The weights' bits of a plan in words: of most layers, or the rounded mean where the words say it.

    Raises:
        MixdqError: the words are of another form.
    """
    if precision.startswith("FP16"):
        return _FLOATING_BITS
    found = re.search(r"mean W([0-9.]+)A", precision) or re.match(r"W([0-9]+)", precision)
    if found is None:
        raise MixdqError(f"the bundle's plan is {precision!r}, which says nothing of its weights' bits")
    return round(float(found[1]))


def _check_fixed(body: GenerateRequest, precision: str, steps: int) -> None:
    """Refuses what the earlier server chose by request and this one by bundle."""
    if body.wbits is not None and body.wbits != (bits := weight_bits(precision)):
        raise ApiError(
            422,
            f"wbits: the bundle that is served has weights of {bits} bits ({precision}), not {body.wbits}; "
            "leave it out, or ask a server of another bundle",
            param="wbits",
            code="invalid_value",
        )
    if body.steps not in (None, steps):
        raise ApiError(
            422, f"steps: this server makes {steps}, not {body.steps}", param="steps", code="invalid_value"
        )
    if body.cfg_scale is not None and body.cfg_scale > _NO_GUIDANCE:
        raise ApiError(
            422,
            f"cfg_scale: there is no guidance here; leave it out, or pass at most 1, not {body.cfg_scale:g}",
            param="cfg_scale",
            code="invalid_value",
        )
