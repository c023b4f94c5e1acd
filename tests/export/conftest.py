"""Copies of emoji-turbo to damage."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.presets import shipped_model
from mixdq.export.source import SourceModel, open_source


@pytest.fixture(scope="session")
def emoji() -> SourceModel:
    return open_source(ModelChoice("emoji-turbo"))


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    """A folder of one's own: files are hard links, to be replaced and never written into."""
    shipped = shipped_model("emoji-turbo")
    assert shipped is not None
    folder = tmp_path / "model"

    def link(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)

    shutil.copytree(shipped, folder, copy_function=link)
    return folder
