"""TensorRT's timing cache: what it measured of kernels, kept in a file between builds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mixdq.configs.errors import StorageError
from mixdq.configs.files import writing


@contextmanager
def keeping_timings(config: Any, path: Path | None) -> Iterator[None]:
    """Lends the block, a build, the timings of a file, and adds its own to them after it succeeded.

    The file is written before the block too: one that can't be is refused before the long work. If it can't
    be any more after that, the timings are lost, which costs time at the next build; the engine is kept.

    Args:
        config: TensorRT's `IBuilderConfig`.
        path: the file; may be missing. None keeps nothing.

    Raises:
        StorageError: before the block: the file can't be read or written, is damaged, or is of another
            version of TensorRT or another GPU.
    """
    if path is None:
        yield
        return
    cache = attach_timing_cache(config, path)
    save_timing_cache(config, cache, path)
    yield
    with suppress(StorageError):
        save_timing_cache(config, cache, path)


def attach_timing_cache(config: Any, path: Path) -> Any:
    """Makes a build use the timings of a file, and start a new cache if there is none.

    Args:
        config: TensorRT's `IBuilderConfig`.
        path: the file; may be missing.

    Returns:
        The cache, which must live until the build is over.

    Raises:
        StorageError: the file is unreadable, damaged, or of another version of TensorRT or another GPU.
    """
    cache = _load(config, path)
    if not config.set_timing_cache(cache, False):
        raise _refused(path)
    return cache


def save_timing_cache(config: Any, cache: Any, path: Path) -> None:
    """Adds a build's timings to a file.

    Timings that another build wrote there meanwhile stay; of two builds that end in the same moment, one may
    lose its own, which costs time, never an engine.

    Args:
        config: the build's `IBuilderConfig`.
        cache: what `attach_timing_cache` gave.
        path: the file to write, whole or not at all.

    Raises:
        StorageError: the file can't be written, or was replaced by something else during the build.
    """
    if path.exists() and not cache.combine(_load(config, path), False):
        raise _refused(path)
    with writing(path) as temporary:
        temporary.write_bytes(memoryview(cache.serialize()))


def _load(config: Any, path: Path) -> Any:
    try:
        stored = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise StorageError(
            f"could not read the timing cache {path}: {error.strerror or error}; name a file, or one that is "
            "to be made"
        ) from error
    cache = config.create_timing_cache(stored)
    if cache is None or (stored and not _holds(config, cache, stored)):
        raise _refused(path)
    return cache


def _holds(config: Any, cache: Any, stored: bytes) -> bool:
    # Of bytes that it can't read, TensorRT makes an empty cache instead of refusing them.
    empty = config.create_timing_cache(b"").serialize().nbytes
    return bool(empty <= len(stored) <= cache.serialize().nbytes)


def _refused(path: Path) -> StorageError:
    return StorageError(
        f"{path} is no timing cache for this build: it is damaged, or was made by another version of "
        "TensorRT or on another GPU; delete it or name another file, and a new one is made"
    )
