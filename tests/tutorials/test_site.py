"""The documentation builds into a site without a warning, and its own links lead somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings")),
    reason="needs the extra `docs`",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does; a warning of the builder is an error."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_reference_has_what_the_docstrings_say(site: Path) -> None:
    page = (site / "api" / "runtime.html").read_text()
    assert 'id="mixdq.runtime.loading.load"' in page
    assert "checked before it is used" in page
    assert "<td><code>threads</code></td>" in re.sub(r"\s*\n\s*", "", page)


def test_documents_of_the_root_are_pages_and_links_to_them_fit(site: Path) -> None:
    start = (site / "index.html").read_text()
    assert 'href="ARCHITECTURE.html"' in start
    assert 'href="docs/' not in start
    assert "assets/samples-two.jpg" in start
    assert (site / "assets" / "data-flow.svg").is_file()
    card = (site / "measured.html").read_text()
    assert 'href="models/emoji-turbo.html"' in card


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*src="([^"]+)"', page.read_text())
        loaded += re.findall(r'<link[^>]*rel="stylesheet"[^>]*href="([^"]+)"', page.read_text())
        assert not [address for address in loaded if "//" in address], page
