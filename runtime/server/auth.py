"""API keys: who may ask for pictures."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mixdq.configs.errors import MachineError, StorageError
from mixdq.runtime.server.errors import error_response

KEYS_VARIABLE = "MIXDQ_API_KEYS"
"""Environment variable that may hold keys, with commas between them."""

_SHORTEST = 16
_OPEN = ("/health", "/health/live", "/health/ready", "/", "/favicon.ico")
_OPEN_FOLDER = "/page/"


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """Keys by their SHA-256.

    Attributes:
        digests: one a key; empty if none is needed.
    """

    digests: tuple[bytes, ...]

    def __bool__(self) -> bool:
        return bool(self.digests)

    def accept(self, key: str) -> bool:
        """Whether it is one of them; the time that this takes depends on none of them."""
        digest = _digest(key)
        # All of them are compared: the time must not tell which one it was.
        return sum(hmac.compare_digest(digest, known) for known in self.digests) > 0


def read_keys(path: Path | None, environment: Mapping[str, str]) -> ApiKeys:
    """Keys from a file, one a line, and from the environment; a line that begins with # is none.

    Raises:
        StorageError: the file can't be read.
        MachineError: it holds no key, or one is too short to be safe.
    """
    keys = [key.strip() for key in environment.get(KEYS_VARIABLE, "").split(",")]
    if path is not None:
        lines = _lines(path)
        if not lines:
            raise MachineError(f"{path} holds no API key; write one a line, or leave --api-key-file out")
        keys += lines
    return make_keys(key for key in keys if key)


def make_keys(keys: Iterable[str]) -> ApiKeys:
    """Keys as the server holds them.

    Raises:
        MachineError: one is too short to be safe.
    """
    found = tuple(keys)
    if any(len(key) < _SHORTEST for key in found):
        raise MachineError(
            f"an API key has fewer than {_SHORTEST} characters and could be guessed; make one with "
            "`python -c 'import secrets; print(secrets.token_urlsafe())'`"
        )
    return ApiKeys(tuple(_digest(key) for key in found))


class RequireKey:
    """Middleware: 401 without a key, but for health and the page's own files."""

    def __init__(self, app: ASGIApp, keys: ApiKeys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through, or answers it."""
        if scope["type"] != "http" or not self._keys or _is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._keys.accept(key.strip()):
            await self._app(scope, receive, send)
            return
        response = error_response(
            401,
            "this server needs an API key that it knows, in the header Authorization: Bearer KEY",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )
        await response(scope, receive, send)


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith(_OPEN_FOLDER)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"the API keys in {path} can't be read: {error}") from error
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
