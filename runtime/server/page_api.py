"""The page: a few files, read once, that need nothing from elsewhere."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

from mixdq.runtime.server.errors import ApiError

_FOLDER = "page"
_INDEX = "index.html"
_METHODS = ["GET", "HEAD"]
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    mime: str

    def response(self) -> Response:
        return Response(self.content, media_type=self.mime, headers=_HEADERS)


def page_router() -> APIRouter:
    """The page at `/`, its files under `/page/`; only files that are there, so no path leads elsewhere."""
    router, known = APIRouter(include_in_schema=False), _read()

    @router.api_route("/", methods=_METHODS)
    async def index() -> Response:
        return known[_INDEX].response()

    @router.api_route("/page/{name}", methods=_METHODS)
    async def page_file(name: str) -> Response:
        if name not in known:
            raise ApiError(404, f"the page has no file {name}", code="not_found")
        return known[name].response()

    return router


def _read() -> dict[str, _File]:
    folder = files("mixdq.runtime.server").joinpath(_FOLDER)
    return {
        entry.name: _File(entry.read_bytes(), _mime(entry.name))
        for entry in folder.iterdir()
        if entry.is_file()
    }


def _mime(name: str) -> str:
    # Some machines' tables call JavaScript plain text, which browsers don't execute with nosniff.
    return (
        "text/javascript"
        if name.endswith(".js")
        else mimetypes.guess_type(name)[0] or "application/octet-stream"
    )
