"""`POST /v1/images/generations`."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response

from mixdq.runtime.policy.request import Outcome
from mixdq.runtime.server.encode import Encoder, PictureFormat
from mixdq.runtime.server.errors import ApiError, documented
from mixdq.runtime.server.fulfilling import fulfil
from mixdq.runtime.server.glance import Glance
from mixdq.runtime.server.logs import note
from mixdq.runtime.server.models_api import check_model
from mixdq.runtime.server.orders import Order, Picture
from mixdq.runtime.server.schemas import (
    AnswerTimings,
    ImageObject,
    ImagesRequest,
    ImagesResponse,
    PictureTimings,
)
from mixdq.runtime.server.settings import HttpSettings

if TYPE_CHECKING:
    from mixdq.runtime.server.service import Service

_BEST_QUALITY = 100
ERRORS = documented(400, 401, 404, 408, 413, 415, 422, 429, 500, 503, 504)
"""What a route that makes pictures may answer instead."""


def images_router(service: Service, glance: Glance, settings: HttpSettings, encoder: Encoder) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.post("/v1/images/generations", response_model=ImagesResponse, responses=ERRORS, tags=["images"])
    async def generate_images(body: ImagesRequest, request: Request) -> Response:
        """Draws pictures of a prompt."""
        began_s = time.monotonic()
        model = check_model(body.model, glance)
        order = _order(body, settings)
        note(size=body.size or "auto", n=len(order.seeds), **prompt_note(body.prompt, settings))
        pictures = await fulfil(service, order, request, settings.request_s)
        made_s = time.monotonic()
        data = await asyncio.gather(*(_image(picture, body, encoder) for picture in pictures))
        sizes = {image.size for image in data}
        note(made=",".join(sorted(sizes)), late=any(image.late for image in data))
        answer = ImagesResponse(
            created=int(time.time()),
            model=model,
            data=data,
            size=sizes.pop() if len(sizes) == 1 else None,
            output_format=_format(body),
            timings=AnswerTimings(
                total_ms=_ms(time.monotonic() - began_s), encode_ms=_ms(time.monotonic() - made_s)
            ),
        )
        # Checked when it was made; FastAPI would do it once more.
        return Response(answer.model_dump_json(exclude_unset=True), media_type="application/json")

    return router


def prompt_note(prompt: str, settings: HttpSettings) -> dict[str, str]:
    """What the log may say of a prompt."""
    return {"prompt": prompt} if settings.log_prompts else {}


def check_prompt(prompt: str, settings: HttpSettings) -> None:
    """Refuses a prompt that is too long.

    Raises:
        ApiError: it is.
    """
    if len(prompt) > settings.prompt_characters:
        raise ApiError(
            422,
            f"prompt: it has {len(prompt)} characters, and at most {settings.prompt_characters} are taken",
            param="prompt",
            code="too_long",
        )


def random_seed() -> int:
    """A seed that JavaScript can hold, too."""
    return secrets.randbits(32)


def _order(body: ImagesRequest, settings: HttpSettings) -> Order:
    check_prompt(body.prompt, settings)
    count = body.n or 1
    if count > settings.most_pictures:
        raise ApiError(
            422,
            f"n: at most {settings.most_pictures} pictures a request, not {count}",
            param="n",
            code="too_many",
        )
    try:
        pixels = body.pixels
    except ValueError as error:
        raise ApiError(422, f"size: {error}", param="size", code="invalid_value") from error
    first = random_seed() if body.seed is None else body.seed
    return Order(
        prompt=body.prompt,
        seeds=tuple(range(first, first + count)),
        size=pixels,
        steps=settings.steps,
        objective_s=None if body.slo_ms is None else body.slo_ms / 1e3,
        priority=body.priority or 0,
        downgrade=bool(body.allow_downgrade),
    )


async def _image(picture: Picture, body: ImagesRequest, encoder: Encoder) -> ImageObject:
    kind = _format(body)
    quality = _BEST_QUALITY if body.output_compression is None else body.output_compression
    text = await encoder.base64(picture.pixels, kind, quality)
    file = {"url": f"data:{kind.mime};base64,{text}"} if body.response_format == "url" else {"b64_json": text}
    return ImageObject(
        **file,
        seed=picture.seed,
        size=f"{picture.size}x{picture.size}",
        late=picture.outcome is Outcome.LATE,
        batch=picture.batch,
        attempts=picture.attempts,
        timings=PictureTimings(wait_ms=_ms(picture.wait_s), service_ms=_ms(picture.service_s)),
    )


def _format(body: ImagesRequest) -> PictureFormat:
    return body.output_format or PictureFormat.PNG


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 3)
