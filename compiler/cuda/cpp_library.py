"""The C++ standard library that packages are linked with: the one that torch has loaded, and no other.

A g++ without a shared library beside it puts a copy of its own into every package. The copy and torch's then
share some of their tables and not others, and the first regular expression, when the package is loaded,
crashes the process.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from shlex import quote

import torch._inductor.config
from torch._inductor.runtime.cache_dir_utils import cache_dir

from mixdq.configs.errors import TargetError
from mixdq.configs.files import writing

_NAME = "libstdc++.so"
_MAPS = Path("/proc/self/maps")


def package_compiler() -> str:
    """The C++ compiler for torch to call: the user's, told where the library is that this process has loaded.

    It is a script, because torch hands no folder of libraries on; it stays in the cache of torch's compiler,
    whose precompiled headers go by the compiler's name.
    """
    chosen = torch._inductor.config.cpp.cxx[-1]
    if (library := _loaded()) is None:
        return chosen
    known = hashlib.sha256(f"{chosen}\n{library}".encode()).hexdigest()[:16]
    folder = Path(cache_dir()) / "mixdq" / known
    script = folder / Path(chosen).name
    if not script.exists():
        # Several processes may do this at once: each file is there whole from the first moment.
        with writing(folder / _NAME) as temporary:
            temporary.symlink_to(library)
        with writing(script) as temporary:
            temporary.write_text(f'#!/bin/sh\nexec {quote(chosen)} "$@" {quote(f"-L{folder}")}\n')
            temporary.chmod(0o755)
    return str(script)


def check_linked(package: Path, name: str) -> None:
    """Refuses a package that carries a C++ library of its own.

    Args:
        package: the file.
        name: what to call it.

    Raises:
        TargetError: says which compiler to look at.
    """
    with zipfile.ZipFile(package) as archive:
        programs = [archive.read(entry) for entry in archive.namelist() if entry.endswith(".wrapper.so")]
    if not programs or not all(_NAME.encode() in program for program in programs):
        raise TargetError(
            f"{torch._inductor.config.cpp.cxx[-1]} linked a copy of the C++ standard library into {name}, "
            f"expected {_NAME}: beside torch's it would crash; name a compiler in CXX that links the shared "
            f"library, and remove {cache_dir()}, where torch keeps what was linked"
        )


def _loaded() -> Path | None:
    """The file of the library that this process has loaded; None where the system does not say."""
    if not _MAPS.exists():
        return None
    files = (Path(line.split(maxsplit=5)[-1]) for line in _MAPS.read_text().splitlines())
    return next((file for file in files if file.name.startswith(_NAME) and file.exists()), None)
