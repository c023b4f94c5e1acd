"""TensorRT for RTX has the timing cache's API still: enough to try the file's handling without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mixdq.compiler.timing_cache import attach_timing_cache, keeping_timings, save_timing_cache
from mixdq.configs.errors import StorageError

pytestmark = pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")

tensorrt = pytest.importorskip("tensorrt_rtx")


@pytest.fixture
def config() -> Any:
    return tensorrt.Builder(tensorrt.Logger(tensorrt.Logger.INTERNAL_ERROR)).create_builder_config()


def test_a_missing_file_is_made_and_read_again(config: Any, tmp_path: Path) -> None:
    path = tmp_path / "new" / "timings"
    save_timing_cache(config, attach_timing_cache(config, path), path)
    stored = path.read_bytes()
    assert stored
    save_timing_cache(config, attach_timing_cache(config, path), path)
    assert path.read_bytes() == stored
    assert [file.name for file in path.parent.iterdir()] == ["timings"]


@pytest.mark.parametrize("damaged", [b"short", b"longer than an empty cache is" * 20])
def test_a_file_that_is_no_timing_cache_is_refused_and_kept(
    damaged: bytes, config: Any, tmp_path: Path
) -> None:
    path = tmp_path / "timings"
    path.write_bytes(damaged)
    with pytest.raises(StorageError, match=r"timings is no timing cache .*delete it or name another file"):
        attach_timing_cache(config, path)
    assert path.read_bytes() == damaged


def test_a_file_replaced_by_something_else_during_the_build_is_not_overwritten(
    config: Any, tmp_path: Path
) -> None:
    path = tmp_path / "timings"
    cache = attach_timing_cache(config, path)
    path.write_bytes(b"notes")
    with pytest.raises(StorageError, match="no timing cache"):
        save_timing_cache(config, cache, path)
    assert path.read_bytes() == b"notes"


def test_a_cache_that_cannot_be_kept_after_the_build_does_not_cost_the_engine(
    config: Any, tmp_path: Path
) -> None:
    path = tmp_path / "timings"
    with keeping_timings(config, path):
        assert path.stat().st_size > 0  # that it can be written is tried before
        path.write_bytes(b"notes")
    assert path.read_bytes() == b"notes"


def test_a_cache_that_cannot_be_written_is_refused_before_the_build(config: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with (
        pytest.raises(StorageError, match=r"could not write .*timings"),
        keeping_timings(config, tmp_path / "file" / "timings"),
    ):
        pytest.fail("the build began")


def test_a_folder_is_no_timing_cache(config: Any, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="could not read the timing cache"):
        attach_timing_cache(config, tmp_path)
