"""Packages are linked with the C++ library that torch has loaded, whatever the compiler would take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch._inductor.config
from torch import nn

from mixdq.compiler.cuda.cpp_library import package_compiler
from mixdq.compiler.cuda.package import compile_package
from mixdq.configs.errors import TargetError

_LOAD = "import sys, torch; torch._C._aoti.AOTIModelPackageLoader(sys.argv[1], 'model', True, 1, -1)"


@pytest.fixture(autouse=True)
def _no_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's cache would give back what another compiler linked."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


def _compiler(folder: Path, link: str) -> str:
    """A g++ that links in its own way."""
    path = folder / "g++"
    path.write_text(f'#!/bin/sh\ncase " $* " in *" -shared "*) exec {link};; esac\nexec g++ "$@"\n')
    path.chmod(0o755)
    return str(path)


def _compile(compiler: str, folder: Path) -> Path:
    path, module = folder / "linear.pt2", nn.Linear(4, 4).eval().requires_grad_(False)
    settings = {"aot_inductor.precompile_headers": False, "cpp.cxx": (None, compiler)}
    with torch._inductor.config.patch(settings):
        compile_package(module, (torch.ones(2, 4),), path)
    return path


def test_a_compiler_without_the_shared_library_makes_packages_that_load(tmp_path: Path) -> None:
    static = subprocess.run(
        ["g++", "-print-file-name=libstdc++.a"], capture_output=True, text=True, check=True
    )
    (tmp_path / "libstdc++.a").symlink_to(static.stdout.strip())
    package = _compile(_compiler(tmp_path, f'gcc "$@" -L{tmp_path} -lstdc++'), tmp_path)
    subprocess.run([sys.executable, "-c", _LOAD, package], check=True)


def test_a_package_with_a_library_of_its_own_is_refused_and_not_kept(tmp_path: Path) -> None:
    compiler = _compiler(tmp_path, 'g++ "$@" -static-libstdc++')
    with pytest.raises(TargetError, match=r"linked a copy .* into linear\.pt2.* name a compiler in CXX"):
        _compile(compiler, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["g++"]


def test_the_compiler_keeps_its_name_and_place() -> None:
    # Torch reads from the name what kind of compiler it is, and keeps headers by it.
    assert package_compiler() == package_compiler()
    assert Path(package_compiler()).name == Path(torch._inductor.config.cpp.cxx[-1]).name
