"""What a plain install brings."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("compiler", "configs", "eval", "export", "passes", "runtime")
_BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a wheel that is built from a copy of the sources."""
    copy, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in (*FOLDERS, "pyproject.toml", "README.md", "LICENSE"):
        (copy / name).symlink_to(ROOT / name)
    built = subprocess.run(
        [sys.executable, "-c", _BUILD, str(out)], cwd=copy, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(out / built.stdout.split()[-1]) as archive:
        return set(archive.namelist())


def test_every_package_is_listed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        f"mixdq.{path.parent.relative_to(ROOT).as_posix().replace('/', '.')}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert set(listed) == found
    assert listed == sorted(listed)


def test_the_wheel_holds_every_module_and_every_data_file(wheel: set[str]) -> None:
    suffixes = {".py", ".yaml", ".txt", ".json", ".safetensors", ".typed"}
    expected = {
        f"mixdq/{path.relative_to(ROOT).as_posix()}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes
    }
    assert expected - wheel == set()
    assert {"mixdq/configs/presets/emoji-turbo.yaml", "mixdq/configs/prompts/emoji.txt"} <= wheel


def test_nothing_is_importable_by_its_bare_name(wheel: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == {"mixdq"}
