"""Probes, status, metrics, models, the page, the OpenAPI document."""

from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .serving import Client


def _samples(client: Client) -> dict[str, float]:
    text = client.get("/metrics").content.decode()
    return {
        sample.name + "".join(f"|{value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_server_that_serves_is_live_and_ready(client: Client) -> None:
    assert client.get("/health/live").json == {"status": "live"}
    assert client.get("/health/ready").json == {"status": "ready"}


def test_the_metrics_count_what_was_made(client: Client) -> None:
    before = _samples(client)
    client.draw(size="16x16", n=2)
    client.draw(size="24x24")
    client.draw(size="99x99")
    after = _samples(client)
    grown = {name: value - before.get(name, 0.0) for name, value in after.items()}
    assert grown["mixdq_pictures_arrived_total"] == 3
    assert grown["mixdq_pictures_total|done"] == 3
    assert grown["mixdq_pictures_made_total|16"] == 2
    assert grown["mixdq_pictures_made_total|24"] == 1
    assert grown["mixdq_wait_seconds_count"] == 3
    assert grown["mixdq_service_seconds_count|24"] == 1
    assert grown["mixdq_http_requests_total|/v1/images/generations|200"] == 2
    assert grown["mixdq_http_requests_total|/v1/images/generations|422"] == 1
    assert after["mixdq_queue_length"] == 0
    assert after["mixdq_ready"] == 1
    assert after["mixdq_worker_restarts_total|0"] == 0
    assert after["mixdq_device_peak_bytes|0"] > 1e6


def test_paths_that_are_not_there_do_not_become_metrics(client: Client) -> None:
    client.get("/made-up")
    assert not [name for name in _samples(client) if "made-up" in name]


def test_refusals_are_counted_by_reason(grey: Client) -> None:
    grey.draw(n=4)
    names = _samples(grey)
    assert names["mixdq_pictures_total|done"] == 4
    assert names["mixdq_pictures_total|shed"] == 0


def test_the_status_says_what_the_page_shows(client: Client) -> None:
    client.draw(size="16x16")
    client.draw(size="auto")
    found = client.get("/status").json
    assert (found["state"], found["model"], found["precision"]) == ("ready", "tiny", "FP16")
    assert (found["target"], found["policy"], found["auth"]) == ("cpu", "deadline", False)
    assert found["sizes"] == [16, 24]
    assert found["utilities"] == {"16": 0.5, "24": 1.0}
    assert found["objective_ms"] == 5000
    assert found["recent"]["count"] >= 2
    assert found["recent"]["p95_ms"] >= found["recent"]["p50_ms"] > 0
    assert found["workers"][0]["restarts"] == 0
    client.counts()


def test_the_size_in_use_is_that_of_the_last_picture_that_left_it_open(grey: Client) -> None:
    assert grey.get("/status").json["size_in_use"] is None
    grey.draw(size="auto")
    grey.draw(size="16x16")
    found = grey.get("/status").json
    assert found["size_in_use"] == 24
    assert found["recent"]["sizes"] == {"16": 1, "24": 1}


def test_models_are_openais(client: Client) -> None:
    (model,) = client.get("/v1/models").json["data"]
    assert (model["id"], model["object"], model["sizes"]) == ("tiny", "model", ["16x16", "24x24"])
    assert client.get("/v1/models/tiny").json == model


def test_the_page_needs_nothing_from_elsewhere(client: Client) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["content-type"].startswith("text/html")
    links = re.findall(rb'(?:src|href)="([^"]+)"', answer.content)
    assert links
    for link in links:
        assert link.startswith(b"/page/")
        assert client.get(link.decode()).status == 200


def test_the_pages_headers_can_be_asked_for_alone(client: Client) -> None:
    answer = client.send("HEAD", "/", None, {})
    assert (answer.status, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("app.js", "text/javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
def test_the_pages_files_say_what_they_are(client: Client, name: str, kind: str) -> None:
    answer = client.get(f"/page/{name}")
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_document_names_every_route_and_its_errors(client: Client) -> None:
    document = client.get("/openapi.json").json
    assert set(document["paths"]) == {
        "/v1/images/generations",
        "/v1/models",
        "/v1/models/{model}",
        "/health",
        "/health/live",
        "/health/ready",
        "/status",
        "/metrics",
        "/generate",
    }
    answers = document["paths"]["/v1/images/generations"]["post"]["responses"]
    assert set(answers) == {
        *("200", "400", "401", "404", "408", "413", "415", "422", "429", "500", "503", "504")
    }
    for status, answer in answers.items():
        name = answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert name == ("ImagesResponse" if status == "200" else "ErrorBody")
