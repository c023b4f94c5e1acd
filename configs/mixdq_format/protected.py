"""MixDQ's protected layers: a `.pt` file, a list of names that torch pickled into a zip."""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from collections.abc import Sequence
from pathlib import Path

from mixdq.configs.errors import PlanError, StorageError
from mixdq.configs.files import writing
from mixdq.configs.layers import LayerName
from mixdq.configs.mixdq_format.names import prefixed_name, read_names

_LARGEST = 2**20
"""Bytes of the pickle: thousands of names are some hundred kilobytes."""

_MEMOS = {"BINPUT", "LONG_BINPUT", "MEMOIZE", "PUT"}
_STRINGS = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"}
_PROTOCOL = 2


def read_protected(path: Path) -> tuple[LayerName, ...]:
    """The names in the file's order.

    The pickle is read, never executed: an opcode that a list of strings does not need is refused.

    Raises:
        PlanError: no zip of torch's, or a pickle of anything but a list of names, each once.
        StorageError: the file can't be read.
    """
    names = _strings(_pickle(path), path)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise PlanError(f"{path} names {twice} twice; each protected layer is named once")
    return tuple(read_names(dict.fromkeys(names), path)[0]) if names else ()


def write_protected(path: Path, names: Sequence[LayerName], *, prefixed: bool = True) -> None:
    """Writes what `torch.load` reads as a list of names."""
    data = pickle.dumps([prefixed_name(name, prefixed) for name in names], protocol=_PROTOCOL)
    with writing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        # Dated, so that equal names give equal bytes.
        for file, content in (("data.pkl", data), ("version", b"3\n")):
            archive.writestr(zipfile.ZipInfo(f"{path.stem}/{file}", (1980, 1, 1, 0, 0, 0)), content)


def _pickle(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            found = [file for file in archive.infolist() if file.filename.rpartition("/")[2] == "data.pkl"]
            if len(found) != 1:
                raise PlanError(f"{path} holds {len(found)} files data.pkl; torch.save writes one")
            if found[0].file_size > _LARGEST:
                raise PlanError(
                    f"{path} holds a pickle of {found[0].file_size} bytes; a list of layers has at most "
                    f"{_LARGEST}"
                )
            return archive.read(found[0])
    except FileNotFoundError as error:
        raise StorageError(f"{path} does not exist") from error
    # A damaged entry, an encrypted one and an unknown compression each have an error of their own.
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise PlanError(
            f"{path} is no file that torch.save writes today (a zip): {error}; save the list of names again"
        ) from error
    except OSError as error:
        raise StorageError(f"could not read {path}: {error.strerror or error}") from error


def _strings(data: bytes, path: Path) -> list[str]:
    """The strings of `[]`, filled by any number of appends, and nothing else."""
    names: list[str] = []
    state = "start"
    try:
        for opcode, argument, _ in pickletools.genops(data):
            state = _next(state, opcode.name)
            if opcode.name in _STRINGS:
                names.append(str(argument))
    except _RefusedError as error:
        raise PlanError(
            f"{path} is refused: its pickle is not a plain list of layer names ({error}); nothing of it was "
            "executed"
        ) from error
    except Exception as error:
        raise PlanError(f"{path} holds a damaged pickle: {error}") from error
    return names


class _RefusedError(Exception):
    """An opcode where a list of strings has another."""


def _next(state: str, opcode: str) -> str:
    """The state after an opcode: start, list (on the stack), mark, marked (strings behind it), one string."""
    if opcode in {"PROTO", "FRAME"} and state in {"start", "list"}:
        return state
    if opcode in _MEMOS and state in {"list", "marked", "string"}:
        return state
    if opcode in _STRINGS and state in {"list", "mark", "marked"}:
        return "string" if state == "list" else "marked"
    moves = {
        ("start", "EMPTY_LIST"): "list",
        ("list", "MARK"): "mark",
        ("marked", "APPENDS"): "list",
        ("string", "APPEND"): "list",
        ("list", "STOP"): "end",
    }
    if (state, opcode) not in moves:
        raise _RefusedError(f"the opcode {opcode}")
    return moves[state, opcode]
