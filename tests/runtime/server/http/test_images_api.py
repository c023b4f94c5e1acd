"""`POST /v1/images/generations` over real engines."""

from __future__ import annotations

import base64
import urllib.request
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixdq.runtime import load

from .serving import Client, ProcessServer, head, read_all, thread_server, until


def _picture(item: dict[str, str]) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(item["b64_json"])))


def test_the_picture_is_the_pipelines_own(client: Client, tiny_folder: Path) -> None:
    answer = client.draw(prompt="a red apple", size="16x16", seed=7).json
    with load(tiny_folder) as pipeline:
        expected = pipeline("a red apple", seed=7, resolution=16)
    assert np.array_equal(np.asarray(_picture(answer["data"][0])), np.asarray(expected))


def test_the_answer_names_size_seed_and_timings(client: Client) -> None:
    answer = client.draw(size="24x24", seed=7, n=2).json
    assert answer["size"] == "24x24"
    assert answer["model"] == "tiny"
    assert [item["seed"] for item in answer["data"]] == [7, 8]
    for item in answer["data"]:
        assert item["size"] == "24x24"
        assert item["late"] is False
        assert item["attempts"] == 1
        assert item["timings"]["wait_ms"] >= 0
        assert item["timings"]["service_ms"] > 0
    assert answer["timings"]["total_ms"] >= answer["timings"]["encode_ms"] > 0


def test_auto_is_the_best_size_while_no_one_waits(client: Client) -> None:
    assert client.draw(size="auto").json["size"] == "24x24"
    assert client.draw().json["size"] == "24x24"


def test_without_a_seed_every_call_draws_another_that_draws_it_again(client: Client) -> None:
    first, second = (client.draw(size="16x16").json["data"][0] for _ in range(2))
    assert first["seed"] != second["seed"]
    again = client.draw(size="16x16", seed=first["seed"]).json["data"][0]
    assert again["b64_json"] == first["b64_json"]


def test_a_url_holds_the_picture_itself(client: Client) -> None:
    item = client.draw(size="16x16", seed=1, response_format="url").json["data"][0]
    assert "b64_json" not in item
    with urllib.request.urlopen(item["url"]) as file:
        assert Image.open(file).size == (16, 16)


@pytest.mark.parametrize(("kind", "compression"), [("png", None), ("webp", None), ("webp", 50), ("jpeg", 90)])
def test_files_are_of_the_format_that_was_asked_for(
    client: Client, kind: str, compression: int | None
) -> None:
    answer = client.draw(size="24x24", seed=1, output_format=kind, output_compression=compression).json
    picture = _picture(answer["data"][0])
    assert answer["output_format"] == kind
    assert picture.format == kind.upper()
    exact = _picture(client.draw(size="24x24", seed=1).json["data"][0])
    same = np.array_equal(np.asarray(picture), np.asarray(exact))
    assert same == (kind == "png" or (kind == "webp" and compression is None))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "a\0b"}, "prompt"),
        ({"prompt": "a" * 4001}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ["a"]}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 10**9}, "n"),
        ({"n": 10**400}, "n"),
        ({"n": 1.5}, "n"),
        ({"n": True}, "n"),
        ({"n": "1"}, "n"),
        ({"size": "512"}, "size"),
        ({"size": "512x512"}, "size"),
        ({"size": "16x24"}, "size"),
        ({"size": 16}, "size"),
        ({"size": "99999999999999999999x1"}, "size"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"slo_ms": 0}, "slo_ms"),
        ({"slo_ms": float("nan")}, "slo_ms"),
        ({"slo_ms": float("inf")}, "slo_ms"),
        ({"priority": 11}, "priority"),
        ({"allow_downgrade": "yes"}, "allow_downgrade"),
        ({"response_format": "file"}, "response_format"),
        ({"output_format": "gif"}, "output_format"),
        ({"output_compression": 101}, "output_compression"),
        ({"quality": "hd"}, "quality"),
        ({"background": "transparent"}, "background"),
        ({"stream": True}, "stream"),
        ({"steps": 4}, "steps"),
    ],
)
def test_a_field_that_is_wrong_is_named(client: Client, fields: dict[str, object], param: str) -> None:
    answer = client.draw(**fields)
    assert answer.status == 422
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["param"] == param
    assert param in answer.error["message"] or "pixels" in answer.error["message"]


def test_a_size_that_is_not_served_is_answered_with_those_that_are(client: Client) -> None:
    assert "16, 24" in client.draw(size="32x32").error["message"]


def test_fields_of_openais_that_choose_nothing_here_change_nothing(client: Client) -> None:
    plain = client.draw(size="16x16", seed=1)
    idle = {"user": "me", "moderation": "low", "quality": "auto", "background": "opaque", "stream": False}
    assert (
        client.draw(size="16x16", seed=1, **idle).json["data"][0]["b64_json"]
        == plain.json["data"][0]["b64_json"]
    )


def test_another_model_is_not_found(client: Client) -> None:
    assert client.draw(model="tiny", size="16x16").status == 200
    answer = client.draw(model="dall-e-3")
    assert answer.status == 404
    assert answer.error["code"] == "model_not_found"
    assert "tiny" in answer.error["message"]


def test_a_request_number_that_is_sent_comes_back(client: Client) -> None:
    url = client.url + "/health/live"
    for sent, same in (("abc-1", True), ("a b", False), ("x" * 65, False)):
        request = urllib.request.Request(url, headers={"X-Request-Id": sent})
        with urllib.request.urlopen(request) as response:
            assert (response.headers["X-Request-Id"] == sent) is same


def test_who_is_not_accepted_is_told_when_to_come_back(tiny_folder: Path) -> None:
    with thread_server(tiny_folder, pause_s=0.5, queue=2) as client:
        answer = client.draw(n=4)
        assert answer.status == 429
        assert answer.error["type"] == "rate_limit_error"
        assert int(answer.headers["retry-after"]) >= 1
        assert int(answer.headers["retry-after-ms"]) >= 1
        assert client.counts()["refused"] == 4


def test_prompts_are_logged_only_if_asked_for(server: ProcessServer, client: Client) -> None:
    answer = client.draw(prompt="a secret that no log may hold", size="16x16")
    name = answer.headers["x-request-id"]
    until(lambda: any(line["request_id"] == name for line in server.events("request")))
    assert not any("secret" in str(line) for line in server.log)


def test_each_request_has_one_line_in_the_log(server: ProcessServer, client: Client) -> None:
    answer = client.draw(size="16x16")
    name = answer.headers["x-request-id"]
    # It is written after the answer.
    until(lambda: any(line["request_id"] == name for line in server.events("request")))
    (line,) = [line for line in server.events("request") if line["request_id"] == name]
    assert (line["path"], line["status"], line["made"]) == ("/v1/images/generations", 200, "16x16")


def test_two_requests_in_one_packet_are_both_answered(client: Client) -> None:
    with client.connect() as connection:
        body = b'{"prompt": "a", "size": "16x16"}'
        one = head("/v1/images/generations", body)
        connection.sendall(one + one.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        assert read_all(connection).count(b"HTTP/1.1 200") == 2
