"""What the site needs beside `docs/`: the documents of the root and the model cards, and links that fit.

On the forge a link is relative to the file that has it, and may lead anywhere in the repository. Here, a link
to a document of `PAGES` leads to its page, and one to any other file of the repository becomes plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "ARCHITECTURE.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "configs/models/emoji-turbo/README.md": "models/emoji-turbo.md",
    "configs/models/emoji-alignment/README.md": "models/emoji-alignment.md",
    "configs/models/sdxl-turbo/README.md": "models/sdxl-turbo.md",
}
"""Documents outside `docs/`, by their place in the repository, and where they go in the site."""

_LINK = re.compile(r"(?P<before>!?\[(?P<text>[^\]]+)\])\((?P<target>[^)\s]+)\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Adds the documents that lie outside `docs/`."""
    for source, place in PAGES.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Turns the links of the forge into links of the site."""
    own = page.file.src_uri
    home = next((source for source, place in PAGES.items() if place == own), f"docs/{own}")

    def turned(link: re.Match[str]) -> str:
        target, _, anchor = link["target"].partition("#")
        if not target or ":" in target:
            return link[0]
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(home), target))
        place = PAGES.get(wanted) or wanted.removeprefix("docs/")
        if wanted in PAGES or (wanted.startswith("docs/") and files.get_file_from_path(place)):
            relative = posixpath.relpath(place, posixpath.dirname(own) or ".")
            return f"{link['before']}({relative}{'#' if anchor else ''}{anchor})"
        # What is not there at all mkdocs shall name.
        return link["text"] if (ROOT / wanted).exists() else link[0]

    return _LINK.sub(turned, markdown)
