"""The log of requests."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry
from starlette.types import Message, Receive, Scope, Send

from mixdq.runtime.server.logs import AccessLog, LogObserver, configure_logs
from mixdq.runtime.server.metrics import HttpMetrics
from mixdq.runtime.server.supervisor import Phase

pytestmark = pytest.mark.anyio


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Where the log goes during the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    uvicorn_level = logging.getLogger("uvicorn.error").level
    stream = io.StringIO()
    configure_logs(stream, "info")
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.error").setLevel(uvicorn_level)


async def test_a_defect_is_logged_as_500_and_goes_on_to_who_answers_it(lines: io.StringIO) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    async def no_one(message: Message) -> None:
        raise AssertionError(message)

    scope: Scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    with pytest.raises(ZeroDivisionError):
        await AccessLog(broken, HttpMetrics(CollectorRegistry()))(scope, nothing, no_one)
    (line,) = lines.getvalue().splitlines()
    found = json.loads(line)
    assert (found["status"], found["path"], found["level"]) == (500, "/x", "info")


def test_a_worker_s_line_says_nothing_of_the_request_that_was_at_hand(lines: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="7", prompt="a cat"):
        LogObserver().worker_changed(0, Phase.LOST, "it hung")
    found = json.loads(lines.getvalue())
    assert (found["event"], found["reason"]) == ("worker", "it hung")
    assert not {"request_id", "prompt"} & set(found)


def test_what_libraries_log_is_json_too(lines: io.StringIO) -> None:
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("it broke %d times", 2)
    found = json.loads(lines.getvalue())
    assert found["event"] == "it broke 2 times"
    assert "ValueError: why" in found["exception"]
