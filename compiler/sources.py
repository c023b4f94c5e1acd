"""Digests of our own code: a stage is done again after the code that does it has changed."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def code_digest(*modules: str) -> str:
    """SHA-256 over the source files of modules; of a package, the files directly in it.

    Args:
        modules: full names, `mixdq.passes` or `mixdq.compiler.graphs`; none of them is imported.
    """
    digest = hashlib.sha256()
    for name in modules:
        for path in _files(name):
            digest.update(f"{name} {path.name}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(name: str) -> list[Path]:
    spec = find_spec(name)
    assert spec is not None, f"there is no module {name}"
    if spec.submodule_search_locations is not None:
        return sorted(
            path for folder in spec.submodule_search_locations for path in Path(folder).glob("*.py")
        )
    assert spec.origin is not None
    return [Path(spec.origin)]
