"""Files that are whole or absent: atomic writes and digests."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mixdq.configs.errors import StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it to `path` if the block succeeds.

    The temporary may be made a file or a folder. On any exception, Ctrl-C included, it is removed and
    `path` is left as it was.

    Raises:
        StorageError: the disk is full or the folder can't be written; also where a library says so in an
            error of its own.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)
        yield temporary
        if temporary.is_dir():
            remove(path)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):  # where nothing could be written, removing fails as well
            remove(temporary)
        raise _not_written(path, _reason(error)) from error
    except BaseException as error:
        remove(temporary)
        if (code := code_of_full_disk(error)) is not None:
            raise _not_written(path, os.strerror(code)) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _not_written(path: Path, reason: str) -> StorageError:
    return StorageError(
        f"could not write {path}: {reason}; nothing was changed there. "
        "Free some space or choose another folder, then run the same command again: it resumes"
    )


def _reason(error: OSError) -> str:
    # NumPy's `tofile` raises one without a code: "1000 requested and 500 written".
    return error.strerror or f"the disk took a part only ({error})"


def code_of_full_disk(error: BaseException | None) -> int | None:
    """The system's code in another library's error that a full disk caused, or in the chain behind it."""
    while error is not None:
        # Rust's libraries (safetensors, tokenizers) give the system's code in words alone.
        words = re.search(r"\(os error (\d+)\)", str(error))
        code = error.errno if isinstance(error, OSError) else int(words[1]) if words else None
        if code in _FULL:
            return code
        error = error.__cause__ or error.__context__
    return None


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes.

    Raises:
        StorageError: the file can't be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"could not read {path}: {error.strerror or error}") from error


def sha256_of_text(text: str) -> str:
    """Hex SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()
