"""The same emoji in other artists' styles, as additional views for the dual encoder's training."""

from __future__ import annotations

import importlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from mixdq.configs.errors import EvaluationError, ModelError
from mixdq.export.emoji_turbo.data import Emoji, Pixels, fetch_package, over_white

STYLES = (("@iconify-json/fluent-emoji-flat", "1.2.6"), ("@iconify-json/noto", "1.2.9"))
"""npm packages (name, version) of SVG drawings by codepoint: MIT (Microsoft) and Apache-2.0 (Google)."""


def other_styles(folder: Path, emoji: Sequence[Emoji], own: Pixels) -> Pixels:
    """Each style's picture of each emoji, `[style, emoji, side, side, 3]` bytes over white.

    Args:
        folder: where the npm packages lie or will lie.
        emoji: what to render.
        own: the emoji's own pictures `[emoji, side, side, 3]`, which stand in where a style has none.

    Raises:
        EvaluationError: the library that renders SVG is not installed.
        StorageError: a package can't be had.
        ModelError: a package does not hold what it should.
    """
    try:
        renderer = importlib.import_module("resvg_py")
    except ModuleNotFoundError as error:
        raise EvaluationError(
            "other styles are SVG drawings, and resvg-py is not installed; run `pip install resvg-py`, or "
            "train without --styles"
        ) from error
    sides = []
    for name, version in STYLES:
        drawings = _read_drawings(fetch_package(folder, name, version))

        def render(place: int, drawings: Mapping[str, str] = drawings) -> Pixels:
            drawing = drawings.get(_bare(emoji[place].name))
            return own[place] if drawing is None else _rendered(renderer, drawing, own.shape[1])

        with ThreadPoolExecutor() as pool:
            sides.append(np.stack(list(pool.map(render, range(len(emoji))))))
    return np.stack(sides)


def _rendered(renderer: Any, drawing: str, side: int) -> Pixels:
    png = bytes(renderer.svg_to_bytes(svg_string=drawing, width=side, height=side))
    return np.asarray(over_white(png))


def _read_drawings(package: Path) -> dict[str, str]:
    """Whole SVG documents by codepoint, without the variation selector."""
    try:
        with tarfile.open(package, "r:gz") as archive:
            icons, names = (_read_member(archive, name) for name in ("icons", "chars"))
        width, height = icons["width"], icons["height"]
        bodies = {name: icon["body"] for name, icon in icons["icons"].items()}
    except (OSError, EOFError, KeyError, ValueError, tarfile.TarError) as error:
        raise ModelError(
            f"expected an Iconify package in {package}, found {error}; delete it and run again"
        ) from error
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
    return {_bare(code): f"{head}{bodies[name]}</svg>" for code, name in names.items() if name in bodies}


def _read_member(archive: tarfile.TarFile, name: str) -> dict[str, Any]:
    file = archive.extractfile(f"package/{name}.json")
    assert file is not None
    content: dict[str, Any] = json.load(io.TextIOWrapper(file, encoding="utf-8"))
    return content


def _bare(code: str) -> str:
    return "-".join(part for part in code.split("-") if part != "fe0f")
