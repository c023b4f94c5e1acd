from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from mixdq.configs.gpu import Gpu
from mixdq.runtime.kernel_cache import keep_kernels, kernel_cache_path, read_kernels

ADA = Gpu("NVIDIA GeForce RTX 4090", 89)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return _path()


def test_what_was_kept_is_read_again_and_nothing_else_is_left_in_the_folder(path: Path) -> None:
    assert read_kernels(path) is None
    keep_kernels(path, b"kernels")
    assert read_kernels(path) == b"kernels"
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_the_same_kernels_are_not_written_again(path: Path) -> None:
    keep_kernels(path, b"kernels")
    before = path.stat().st_ino
    keep_kernels(path, b"kernels")
    assert path.stat().st_ino == before
    keep_kernels(path, b"more kernels")
    assert path.stat().st_ino != before


def test_another_engine_gpu_or_version_has_another_file(path: Path) -> None:
    others = {
        kernel_cache_path("b" * 64, ADA, "1.7.1"),
        kernel_cache_path("a" * 64, Gpu("NVIDIA L40", 89), "1.7.1"),
        kernel_cache_path("a" * 64, ADA, "1.8.0"),
    }
    assert len({path, *others}) == 4


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    path = _path()
    keep_kernels(path, b"kernels")
    assert read_kernels(path) is None


def test_an_empty_variable_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _path().is_relative_to(tmp_path / ".cache" / "mixdq")


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(user: int) -> None:
        raise KeyError(user)

    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert kernel_cache_path("a" * 64, ADA, "1.7.1") is None


def _path() -> Path:
    path = kernel_cache_path("a" * 64, ADA, "1.7.1")
    assert path is not None
    return path
