"""schemathesis over the OpenAPI document: whatever it sends, the answer is a documented one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from .serving import Client, ProcessServer

_BUSY = (503, 504)
_EXAMPLES = 40
_CHECKS = [
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
]
_SETTINGS = settings(
    max_examples=_EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),
)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_documented_and_none_is_a_defect(
    server: ProcessServer, client: Client, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_url(f"{client.url}/openapi.json")
    seen: Counter[tuple[str, int]] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue  # nothing of it could be wrong

        @_SETTINGS
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: Case[Any]) -> None:
            response = case.call()
            seen[case.operation.label, response.status_code] += 1
            assert response.status_code < 500 or response.status_code in _BUSY, response.text
            case.validate_response(response, checks=_CHECKS)

        send()
    assert seen["POST /v1/images/generations", 200 if mode is GenerationMode.POSITIVE else 422]
    assert not [line for line in server.log if line.get("level") == "error"]
    client.counts()
