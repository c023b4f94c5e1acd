"""The API's form: what a request says and what an answer tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mixdq.eval.load.sample import Reply
from mixdq.eval.load.schedule import Planned

_MESSAGE = 200
"""Characters of an error that are kept."""


def request_body(planned: Planned) -> dict[str, object]:
    """One picture, as the API takes it."""
    body: dict[str, object] = {
        "prompt": planned.prompt,
        "n": 1,
        "size": "auto" if planned.size is None else f"{planned.size}x{planned.size}",
        "seed": planned.seed,
        "response_format": "b64_json",
    }
    if planned.objective_s is not None:
        body["slo_ms"] = 1e3 * planned.objective_s
    if planned.priority is not None:
        body["priority"] = planned.priority
    return body


def read_answer(body: bytes, status: int, ended_s: float) -> Reply:
    """What a whole answer says; one that has not the API's form is an error."""
    try:
        document = json.loads(body)
        if status == 200:
            return _made(document, ended_s)
        return Reply(ended_s, status, str(document["error"]["message"])[:_MESSAGE])
    except (ValueError, LookupError, TypeError) as error:
        return Reply(ended_s, status, f"not the API's form: {type(error).__name__}: {error}"[:_MESSAGE])


def _made(document: Mapping[str, Any], ended_s: float) -> Reply:
    picture = document["data"][0]
    if not picture["b64_json"]:
        raise ValueError("the picture is empty")
    # Another server of this API need not tell these.
    timings = picture.get("timings") or {}
    size, batch = picture.get("size"), picture.get("batch")
    wait_s, service_s = _seconds(timings.get("wait_ms")), _seconds(timings.get("service_ms"))
    return Reply(
        ended_s,
        200,
        size=None if size is None else int(str(size).split("x")[0]),
        wait_s=wait_s,
        service_s=service_s,
        batch=None if batch is None else int(batch),
        late=picture.get("late"),
        overhead_s=_overhead_s(document.get("timings") or {}, wait_s, service_s),
    )


def _overhead_s(whole: Mapping[str, Any], wait_s: float | None, service_s: float | None) -> float | None:
    total_s, encode_s = _seconds(whole.get("total_ms")), _seconds(whole.get("encode_ms"))
    if total_s is None or encode_s is None or wait_s is None or service_s is None:
        return None
    return total_s - encode_s - wait_s - service_s


def _seconds(time_ms: float | None) -> float | None:
    return None if time_ms is None else float(time_ms) / 1e3
