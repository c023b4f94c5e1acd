"""Where tutorials are followed: a copy of the sources, and one `build` folder for all of them."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("compiler", "configs", "eval", "export", "passes", "runtime", ".typing")


@pytest.fixture(scope="session")
def build_folder(tmp_path_factory: pytest.TempPathFactory, emoji_folder: Path, emoji_w8a8: Path) -> Path:
    """What tutorials write. Its `work` has the exports already, so that they are not made once more."""
    folder = tmp_path_factory.mktemp("tutorials") / "build"
    shutil.copytree(emoji_folder / "work", folder / "work")
    return folder


@pytest.fixture
def checkout(tmp_path: Path, build_folder: Path) -> Path:
    """The sources that commands run, to be changed; tests' too, for a tutorial that adds one."""
    root = tmp_path / "checkout"
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in SOURCES:
        shutil.copytree(ROOT / folder, root / folder, symlinks=True, ignore=ignore)
    (root / "build").symlink_to(build_folder, target_is_directory=True)
    return root


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
