"""API keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mixdq.configs.errors import MachineError, StorageError
from mixdq.runtime.server.auth import make_keys, read_keys

from .serving import Client, thread_server, with_keys

_KEYS = ("first-key-of-the-server", "second-key-of-the-server")


@pytest.fixture(scope="module")
def guarded(tiny_folder: Path) -> Iterator[Client]:
    """A server that wants one of two keys."""
    with thread_server(tiny_folder, settings=with_keys(make_keys(_KEYS))) as client:
        yield client


@pytest.mark.parametrize("key", _KEYS)
def test_each_key_opens_the_server(guarded: Client, key: str) -> None:
    bearer = {"Authorization": f"Bearer {key}"}
    assert guarded.post("/v1/images/generations", {"prompt": "a"}, **bearer).status == 200
    assert guarded.get("/status", **bearer).json["auth"] is True


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer first-key-of-the-serve",
        "Bearer first-key-of-the-server2",
        "Basic first-key-of-the-server",
        "first-key-of-the-server",
        "Bearer \xe9\xe9\xe9",
    ],
)
def test_anything_else_is_401(guarded: Client, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for answer in (
        guarded.post("/v1/images/generations", {"prompt": "a"}, **headers),
        guarded.post("/generate", {"prompt": "a"}, **headers),
        guarded.get("/status", **headers),
        guarded.get("/metrics", **headers),
        guarded.get("/v1/models", **headers),
        guarded.get("/nothing", **headers),
    ):
        assert answer.status == 401
        assert answer.error["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/", "/page/app.js"])
def test_health_and_the_pages_files_need_no_key(guarded: Client, path: str) -> None:
    assert guarded.get(path).status == 200


def test_keys_come_from_a_file_and_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# ours\n{_KEYS[0]}\n\n", encoding="utf-8")
    keys = read_keys(file, {"MIXDQ_API_KEYS": f"{_KEYS[1]}, "})
    assert all(keys.accept(key) for key in _KEYS)
    assert not keys.accept("# ours")
    assert not keys.accept("")


def test_a_file_without_keys_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# none yet\n", encoding="utf-8")
    with pytest.raises(MachineError, match="no API key"):
        read_keys(file, {})
    with pytest.raises(StorageError, match="can't be read"):
        read_keys(tmp_path / "other", {})


def test_a_key_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(MachineError, match="16 characters"):
        read_keys(None, {"MIXDQ_API_KEYS": "secret"})


def test_without_any_key_everyone_may_ask() -> None:
    assert not read_keys(None, {})
