"""Requests over HTTP, on connections that are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from mixdq.configs.errors import EvaluationError
from mixdq.eval.load.answer import read_answer, request_body
from mixdq.eval.load.sample import Reply
from mixdq.eval.load.schedule import Planned

_GENERATIONS = "v1/images/generations"


@dataclass(frozen=True, slots=True)
class Server:
    """Where to send.

    Attributes:
        url: without a path, `http://127.0.0.1:8000`.
        api_key: None for none.
        timeout_s: after so long without a whole answer a request counts as an error.
    """

    url: str
    api_key: str | None
    timeout_s: float

    def __post_init__(self) -> None:
        """Checks the address."""
        if not self.url.startswith(("http://", "https://")):
            raise EvaluationError(
                f"{self.url} is no server's address; give one with its scheme, such as http://127.0.0.1:8000"
            )

    def at(self, path: str) -> str:
        """The address of a path."""
        return f"{self.url.rstrip('/')}/{path}"


@asynccontextmanager
async def open_session(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with as many connections as requests are under way, each used again."""
    headers = {} if server.api_key is None else {"Authorization": f"Bearer {server.api_key}"}
    # The default limit of 100 would make requests wait in the client.
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=server.timeout_s)
    async with aiohttp.ClientSession(headers=headers, connector=connector, timeout=timeout) as session:
        yield session


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends requests for pictures.

    Attributes:
        session: open.
        server: where to.
        now: the clock of the answers' times.
    """

    session: aiohttp.ClientSession
    server: Server
    now: Callable[[], float]

    async def __call__(self, planned: Planned) -> Reply:
        """Sends one request; a broken connection is an answer, too."""
        try:
            async with self.session.post(
                self.server.at(_GENERATIONS), json=request_body(planned)
            ) as response:
                body = await response.read()
                ended_s = self.now()
        except (aiohttp.ClientError, OSError) as error:
            return Reply(self.now(), 0, f"{type(error).__name__}: {error}".removesuffix(": "))
        return read_answer(body, response.status, ended_s)


async def check_ready(session: aiohttp.ClientSession, server: Server) -> None:
    """Refuses a server that isn't there, or can't serve yet.

    Raises:
        EvaluationError: it isn't ready.
    """
    try:
        async with session.get(server.at("health/ready")) as response:
            await response.read()
    except (aiohttp.ClientError, OSError) as error:
        raise EvaluationError(
            f"no server answers at {server.url} ({error}); start one with `mixdq-serve BUNDLE`, or check the "
            "address"
        ) from error
    if response.status != 200:
        raise EvaluationError(
            f"the server at {server.url} is not ready (/health/ready answers {response.status}); try "
            "again when it is"
        )
