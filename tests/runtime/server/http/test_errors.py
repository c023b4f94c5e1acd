"""Whatever is sent, the answer is an error object, and never a defect."""

from __future__ import annotations

import json

import pytest

from .serving import Client, ProcessServer, head, read_all

_IMAGES = "/v1/images/generations"


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"",
        b"null",
        b"[]",
        b'"a cat"',
        b'{"prompt": "a"} x',
        b'{"prompt": "\xff"}',
        b'{"prompt": "\\ud800"}',
        b'{"prompt": NaN}',
        b'{"prompt": "a", "slo_ms": NaN}',
        b'{"prompt": "a", "slo_ms": 1e999}',
        b'{"prompt": "a", "slo_ms": -Infinity}',
        b'{"prompt": "a", "n": ' + b"9" * 5000 + b"}",
        b'{"prompt": ' + b"[" * 4000 + b"]" * 4000 + b"}",
        b'{"a":' * 2500 + b"1" + b"}" * 2500,
        b"\0" * 100,
        b'{"prompt": "a", "prompt": 1}',
        "\ufeff{}".encode(),
    ],
    ids=lambda content: content[:24].decode(errors="replace"),
)
@pytest.mark.parametrize("path", [_IMAGES, "/generate"])
def test_a_body_that_is_no_request_is_refused(client: Client, path: str, content: bytes) -> None:
    answer = client.post(path, content)
    assert answer.status in (400, 422)
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["message"]


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/jsonx", ""])
def test_a_body_of_another_type_is_refused(client: Client, kind: str) -> None:
    answer = client.post(_IMAGES, {"prompt": "a"}, **{"Content-Type": kind})
    assert answer.status == 415
    assert "application/json" in answer.error["message"]


def test_json_may_name_its_character_set(client: Client) -> None:
    kind = {"Content-Type": "application/json; charset=utf-8"}
    assert client.post(_IMAGES, {"prompt": "a", "size": "16x16"}, **kind).status == 200


def test_a_prompt_of_ten_megabytes_is_too_large(client: Client) -> None:
    answer = client.draw(prompt="a" * 10_000_000)
    assert answer.status == 413
    assert "16 KiB" in answer.error["message"]


def test_a_body_without_a_length_is_bounded_while_it_is_read(client: Client) -> None:
    with client.connect() as connection:
        lines = ["POST /generate HTTP/1.1", "Host: x", "Content-Type: application/json"]
        connection.sendall("\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode())
        for _ in range(20):
            connection.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert b"HTTP/1.1 413" in read_all(connection)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/models/none", 404, "model_not_found"),
        ("GET", "/page/none.js", 404, "not_found"),
        ("GET", "/page/..%2f..%2fapp.py", 404, "not_found"),
        ("GET", "/page/%2e%2e/app.py", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("GET", "/v1/models/", 404, "not_found"),
        ("GET", _IMAGES, 405, "method_not_allowed"),
        ("DELETE", "/health", 405, "method_not_allowed"),
    ],
)
def test_a_path_that_is_not_there(client: Client, method: str, path: str, status: int, code: str) -> None:
    answer = client.send(method, path, None, {})
    assert (answer.status, answer.error["code"]) == (status, code)


@pytest.mark.parametrize(
    "packet",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_an_error_object(client: Client, packet: bytes) -> None:
    with client.connect() as connection:
        connection.sendall(packet)
        answer = read_all(connection)
    status, _, body = answer.partition(b"\r\n\r\n")
    assert status.split()[1] in (b"400", b"404")
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


def test_headers_without_an_end_are_cut_off(client: Client) -> None:
    with client.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 40_000)
        assert b"headers_too_large" in read_all(connection)


def test_a_client_that_goes_away_in_its_body_harms_no_one(client: Client) -> None:
    for _ in range(5):
        with client.connect() as connection:
            connection.sendall(head("/generate", b'{"prompt": "a', length=1000))
    assert client.draw(size="16x16").status == 200


def test_the_log_holds_no_traceback(server: ProcessServer, client: Client) -> None:
    assert client.get("/health/live").status == 200
    assert not [line for line in server.log if line["event"] == "raw" or line.get("level") == "error"]
