"""What the compiler's tests share: a tiny pipeline of SDXL's form, compiled once, and the real command."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COMMAND = (sys.executable, "-c", "from mixdq.compiler.cli import main; main()")


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module `jobs_for_children`, importable here and in child processes."""
    folder = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")]))
    return importlib.import_module("jobs_for_children")


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def mixdq_compile() -> Command:
    """Runs `mixdq-compile` as people do, in a process of its own.

    `env` adds to its environment, `before` is called in the new process before the command starts.
    """

    def run(
        *words: object, env: dict[str, str] | None = None, before: Callable[[], None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **(env or {})},
            preexec_fn=before,
            timeout=570,
        )

    return run


@pytest.fixture(scope="session")
def start_mixdq_compile() -> Callable[..., subprocess.Popen[str]]:
    """Starts `mixdq-compile` in a process group of its own, and gives its stderr to read."""

    def start(*words: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *map(str, words)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained diffusers folder of emoji-turbo's topology, 2 MB small; read only."""
    from mixdq.export.emoji_turbo.architecture import Architecture, build_generator, build_vae
    from mixdq.export.emoji_turbo.folder import write_folder
    from mixdq.export.emoji_turbo.tokenizer import train_tokenizer

    shape = Architecture(
        unet_channels=(32, 32, 32),
        transformer_layers=(1, 1, 1),
        head_width=32,
        norm_groups=8,
        text_widths=(32, 32),
        text_layers=2,
        pooled_width=32,
        time_id_width=32,
        vocabulary=600,
        vae_channels=(16, 16, 16, 16),
    )
    folder = tmp_path_factory.mktemp("models") / "tiny"
    vocab, merges = train_tokenizer(["a red apple", "a sleepy cat"], shape.vocabulary)
    write_folder(folder, build_generator(shape, 0), build_vae(shape, 0), vocab, merges)
    return folder


TINY_OPTIONS = ("--resolution", "64", "--prompt-count", "2", "--target", "cpu", "--target", "rtx:sm89")


@pytest.fixture(scope="session")
def tiny_options() -> tuple[str, ...]:
    """The options of `tiny_run`, but for `--out`."""
    return TINY_OPTIONS


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, mixdq_compile: Command) -> Path:
    """The tiny model compiled to W8A8 for the CPU and RTX SM89; read only."""
    out = tmp_path_factory.mktemp("tiny") / "out"
    done = mixdq_compile("run", tiny_model, "--out", out, *TINY_OPTIONS)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def tiny_copy(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of `tiny_run` to change."""
    return Path(shutil.copytree(tiny_run, tmp_path / "out"))
