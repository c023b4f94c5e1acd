"""Errors as OpenAI's clients expect them: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from mixdq.configs.errors import MixdqError, RequestError
from mixdq.runtime.server.orders import (
    NotServingError,
    OrderError,
    PoisonError,
    RefusedError,
    ShedError,
)

CLIENT_GONE = 499
"""Status of a request whose client went away, as nginx logs it; no one receives it."""

_COMEBACK_S = 1.0


class ErrorObject(BaseModel):
    """What went wrong.

    Attributes:
        message: for people.
        type: the kind: `invalid_request_error`, `authentication_error`, `rate_limit_error`, `server_error`.
        param: the field that is to blame.
        code: for programs.
    """

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Every answer that is none."""

    error: ErrorObject


class ApiError(Exception):
    """A request that HTTP's side refuses."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code


class ClientGoneError(Exception):
    """The client went away: nobody waits for an answer."""


def error_response(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    retry_after_s: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One error object.

    Args:
        status: of HTTP.
        message: for people.
        param: the field that is to blame.
        code: for programs.
        retry_after_s: when another try makes sense; to the millisecond where the client reads it.
        headers: others.
    """
    found = dict(headers or {})
    if retry_after_s is not None:
        found["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
        found["Retry-After-Ms"] = str(max(1, math.ceil(1e3 * retry_after_s)))
    error = ErrorObject(message=message, type=_kind(status), param=param, code=code)
    return JSONResponse({"error": error.model_dump()}, status, found)


def documented(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The errors of a route, for the OpenAPI document."""
    return {
        status: {"model": ErrorBody, "description": _DESCRIPTIONS.get(status, HTTPStatus(status).phrase)}
        for status in statuses
    }


def add_error_handlers(app: FastAPI) -> None:
    """Makes every error of an app one of ours."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(ClientGoneError, _client_gone)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(MixdqError, _mixdq_error)
    app.add_exception_handler(Exception, _defect)


_DESCRIPTIONS = {
    429: "Not accepted: the queue is full, or its deadline could not be met. See Retry-After.",
    500: "The picture can't be made.",
    503: "The server loads, drains, or has no worker.",
    504: "Accepted, and its deadline could no longer be met.",
}


def _kind(status: int) -> str:
    match status:
        case 401:
            return "authentication_error"
        case 429:
            return "rate_limit_error"
        case _ if status >= 500:
            return "server_error"
        case _:
            return "invalid_request_error"


async def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_response(error.status, str(error), param=error.param, code=error.code)


async def _client_gone(_: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if faults[0]["type"] == "json_invalid":
        return error_response(400, f"the body is no JSON: {faults[0]['ctx']['error']}", code="invalid_json")
    names = [".".join(str(part) for part in fault["loc"][1:]) for fault in faults]
    words = [
        f"{name}: {_words(fault['msg'])}" if name else _words(fault["msg"])
        for name, fault in zip(names, faults, strict=True)
    ]
    return error_response(422, "; ".join(words[:5]), param=names[0] or None, code=str(faults[0]["type"]))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    messages = {
        400: "the body is no JSON that can be read",
        404: f"there is nothing at {request.url.path}; /openapi.json lists what there is",
        405: f"{request.url.path} does not take {request.method}",
    }
    codes = {400: "invalid_json", 404: "not_found", 405: "method_not_allowed"}
    message = messages.get(status, str(error.detail))
    return error_response(status, message, code=codes.get(status), headers=error.headers)


async def _mixdq_error(_: Request, error: Exception) -> Response:
    message = str(error)
    match error:
        case RefusedError():
            return error_response(429, message, code="refused", retry_after_s=error.retry_after_s)
        case NotServingError():
            return error_response(503, message, code="not_serving", retry_after_s=_COMEBACK_S)
        case ShedError():
            return error_response(504, message, code="deadline_passed")
        case RequestError():
            return error_response(422, message, param="size", code="invalid_value")
        case OrderError():
            code = "poison" if isinstance(error, PoisonError) else "unmakeable"
            # The official clients try a 500 again, unless they are told not to.
            return error_response(500, message, code=code, headers={"x-should-retry": "false"})
        case _:
            return error_response(500, message, code="server_error")


async def _defect(_: Request, error: Exception) -> Response:
    # Its traceback goes to the log; the client learns nothing of it.
    return error_response(500, "a defect of the server; its log says more", code="internal_error")


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")
