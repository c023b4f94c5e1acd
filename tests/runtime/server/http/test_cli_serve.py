"""What `mixdq-serve DIR` refuses, before any worker starts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from mixdq.configs.console import run_app
from mixdq.runtime.cli import app


def _refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line of an error."""
    with pytest.raises(SystemExit) as ended:
        run_app(app, [str(word) for word in words])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target", "rtx:sm89"), "built for cpu, not for rtx:sm89"),
        (("--device", "tpu"), "unknown device 'tpu'"),
        (("--host", "0.0.0.0"), "no API key is set"),
        (("--host", "203.0.113.1", "--no-key"), "can't listen on 203.0.113.1"),
        (("--host", "no such host", "--no-key"), "no address to listen on"),
        (("--api-key-file", "/no/such/file"), "can't be read"),
        (("--latency", "/no/such/file"), "/no/such/file"),
        (("--utility", "16=1"), "24 pixels: a resolution of the bundle is known and no utility"),
        (("--utility", "16=a"), "--utility is PIXELS=NUMBER"),
        (("--metric", "clip"), "utilities come from"),
        (("--policy", "deadline"), "what pictures of each size are worth"),
        (("--policy", "thresholds"), "2 resolutions need 1 thresholds"),
        (("--policy", "static:512"), "512 pixels are not served"),
        (("--policy", "best"), "best is no policy"),
        (("--most-connections", "2000000000"), "open files"),
        (("--port", "70000"), "--port"),
    ],
)
def test_what_can_not_be_served_is_one_line(
    capsys: pytest.CaptureFixture[str], tiny_folder: Path, options: tuple[str, ...], words: str
) -> None:
    assert words in _refusal(capsys, tiny_folder, *options)


def test_a_folder_without_a_bundle_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "holds no readable bundle" in _refusal(capsys, tmp_path)


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str], tiny_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = _refusal(capsys, tiny_folder, "--port", port)
    assert f"port {port}" in error
    assert "choose another one with --port" in error


def test_the_help_lists_both_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_app(app, ["--help"])
    text = capsys.readouterr().out
    assert "serve" in text
    assert "simulate" in text
