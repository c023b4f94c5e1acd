"""The commands on a machine with mixdq's core alone: each names the extra that it needs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

CORE_ONLY = (
    "torch",
    "diffusers",
    "transformers",
    "onnx",
    "onnx_ir",
    "onnxscript",
    "huggingface_hub",
    "ortools",
    "skimage",
    "torchmetrics",
    "polygraphy",
    "aiohttp",
    "fastapi",
    "uvicorn",
    "structlog",
    "prometheus_client",
)


@pytest.mark.parametrize(
    ("command", "words", "library", "extra"),
    [
        ("compiler", ("layers", "emoji-turbo"), "torch", "compile"),
        ("compiler", ("layers", "owner/name"), "huggingface_hub", "compile"),
        ("compiler", ("inspect", "graph.onnx"), "onnx_ir", "compile"),
        ("eval", ("demo", "--out", "out"), "skimage", "eval"),
        ("eval", ("load", "http://127.0.0.1:9", "--rate", "1"), "aiohttp", "eval"),
        ("runtime", (".",), "fastapi", "serve"),
    ],
)
def test_a_missing_library_is_one_line_that_names_its_extra(
    command: str, words: tuple[str, ...], library: str, extra: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(
            f"""
            from importlib.machinery import PathFinder
            find = PathFinder.find_spec
            PathFinder.find_spec = lambda name, path=None, target=None: (
                None if name in {CORE_ONLY!r} else find(name, path, target)
            )
            """
        )
    )
    (tmp_path / "graph.onnx").write_bytes(b"never read")
    done = subprocess.run(
        [sys.executable, "-c", f"from mixdq.{command}.cli import main; main()", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (
        2,
        f"error: this command needs {library}, which is not installed here; install it with "
        f"`pip install 'mixdq[{extra}]'`\n",
    )
    assert not (tmp_path / "out").exists()
