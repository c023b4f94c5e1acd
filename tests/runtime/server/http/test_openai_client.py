"""The official client, unchanged."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import openai
import pytest
from PIL import Image

from mixdq.runtime.server.auth import make_keys

from .serving import Client, thread_server, with_keys

_KEY = "a-key-of-the-server"


def _openai(client: Client, key: str = "unused", retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{client.url}/v1", api_key=key, max_retries=retries)


def test_it_draws_a_picture(client: Client) -> None:
    with _openai(client) as api:
        made = api.images.generate(model="tiny", prompt="a red apple", size="24x24", n=2)
    assert made.size == "24x24"
    assert made.output_format == "png"
    assert made.data is not None
    assert len(made.data) == 2
    for item in made.data:
        assert item.b64_json is not None
        assert Image.open(BytesIO(base64.b64decode(item.b64_json))).size == (24, 24)


def test_it_sends_and_reads_the_extensions(client: Client) -> None:
    with _openai(client) as api:
        more = {"seed": 5, "slo_ms": 4000, "priority": 1, "allow_downgrade": True}
        made = api.images.generate(prompt="a red apple", size="24x24", extra_body=more)
    assert made.data is not None
    assert made.data[0].seed == 5  # type: ignore[attr-defined]
    assert made.data[0].timings["service_ms"] > 0  # type: ignore[attr-defined]


def test_it_lists_models(client: Client) -> None:
    with _openai(client) as api:
        assert [model.id for model in api.models.list()] == ["tiny"]
        assert api.models.retrieve("tiny").owned_by == "mixdq"
        with pytest.raises(openai.NotFoundError, match="no model 'dall-e-3'"):
            api.models.retrieve("dall-e-3")


def test_it_knows_our_errors(client: Client) -> None:
    with _openai(client) as api:
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            api.images.generate(prompt="a", size="1024x1024")
        assert (caught.value.param, caught.value.code) == ("size", "invalid_value")
        with pytest.raises(openai.NotFoundError) as missing:
            api.images.generate(prompt="a", model="dall-e-3")
        assert missing.value.code == "model_not_found"


def test_it_sends_its_key(tiny_folder: Path) -> None:
    with thread_server(tiny_folder, settings=with_keys(make_keys([_KEY]))) as client:
        with _openai(client, _KEY) as api:
            assert api.images.generate(prompt="a").data
        with _openai(client, "another") as api, pytest.raises(openai.AuthenticationError):
            api.images.generate(prompt="a")


def test_it_tries_again_when_it_is_refused(tiny_folder: Path) -> None:
    with thread_server(tiny_folder, queue=1, pause_s=0.2) as client, _openai(client, retries=1) as api:
        with pytest.raises(openai.RateLimitError) as caught:
            api.images.generate(prompt="a", n=3)
        assert caught.value.code == "refused"
        assert client.counts()["refused"] == 6
