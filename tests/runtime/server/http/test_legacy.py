"""What clients of the earlier server send and read."""

from __future__ import annotations

import base64
from io import BytesIO

import pytest
from PIL import Image

from mixdq.configs.errors import MixdqError
from mixdq.runtime.server.legacy import weight_bits

from .serving import Client


def test_the_answer_has_the_earlier_servers_fields(client: Client) -> None:
    answer = client.post("/generate", {"prompt": "a", "res": 24, "wbits": 16, "steps": 1, "cfg_scale": 0.0})
    assert answer.status == 200
    assert set(answer.json) == {"lat_ms", "peak_mem_gb", "png"}
    assert 0 < answer.json["lat_ms"] < 30_000
    assert 0 < answer.json["peak_mem_gb"] < 10
    assert Image.open(BytesIO(base64.b64decode(answer.json["png"]))).size == (24, 24)


def test_a_prompt_is_enough(client: Client) -> None:
    assert client.post("/generate", {"prompt": "a"}).status == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"wbits": 8}, "wbits"),
        ({"wbits": "16"}, "wbits"),
        ({"res": 512}, "size"),
        ({"res": -16}, "res"),
        ({"steps": 2}, "steps"),
        ({"cfg_scale": 7.5}, "cfg_scale"),
        ({"prompt": "\0"}, "prompt"),
        ({"prompt": 1}, "prompt"),
        ({"more": 1}, "more"),
    ],
)
def test_what_the_bundle_can_not_give_is_refused(
    client: Client, fields: dict[str, object], param: str
) -> None:
    answer = client.post("/generate", {"prompt": "a"} | fields)
    assert answer.status == 422
    assert answer.error["param"] == param


def test_other_bits_are_answered_with_those_that_are_served(client: Client) -> None:
    assert "16 bits (FP16)" in client.post("/generate", {"prompt": "a", "wbits": 4}).error["message"]


def test_health_says_ok(client: Client) -> None:
    assert client.get("/health").json == {"status": "ok"}


@pytest.mark.parametrize(
    ("words", "bits"),
    [
        ("FP16", 16),
        ("W8A8, 2 of 264 layers W8A16 (BOS-aware, split shortcuts)", 8),
        ("W4A16 (BOS-aware, split shortcuts)", 4),
        (
            "W8A8, 90 of 264 layers W4A8, 1 of 264 layers W2A8, mean W5.02A8.00 (BOS-aware, split shortcuts)",
            5,
        ),
    ],
)
def test_a_plans_words_say_its_weights_bits(words: str, bits: int) -> None:
    assert weight_bits(words) == bits


def test_words_that_say_nothing_of_bits_are_an_error() -> None:
    with pytest.raises(MixdqError, match="nothing of its weights"):
        weight_bits("as it likes")
