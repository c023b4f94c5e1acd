"""A sheet of pictures: a row a prompt, a column a way of making it, a line of text under each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mixdq.configs.files import writing

_MARGIN, _GAP = 28, 18
_TITLE_HEIGHT, _NOTE_LINE, _HEAD_HEIGHT, _CAPTION_HEIGHT = 64, 26, 40, 30
_LABEL_WIDTH = 190
_PAPER, _INK, _FAINT = (255, 255, 255), (28, 30, 36), (112, 117, 128)
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Cell:
    """A picture and the line under it."""

    picture: Image.Image
    caption: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of pictures of one size.

    Attributes:
        title: above everything.
        note: under the title, smaller, on as many lines as it takes: what one must know to read the pictures.
        columns: headings.
        rows: per row its label and one cell for each column.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]

    def draw(self) -> Image.Image:
        """The sheet as one picture."""
        width, height = self.rows[0][1][0].picture.size
        stride = width + _GAP
        inside = _LABEL_WIDTH + len(self.columns) * stride - _GAP
        note = _wrap(self.note, _font(17), inside)
        left, top = _MARGIN + _LABEL_WIDTH, _MARGIN + _TITLE_HEIGHT + _NOTE_LINE * (note.count("\n") + 1)
        size = (
            2 * _MARGIN + inside,
            top + _HEAD_HEIGHT + len(self.rows) * (height + _CAPTION_HEIGHT + _GAP) + _MARGIN,
        )
        sheet = Image.new("RGB", size, _PAPER)
        pen = ImageDraw.Draw(sheet)
        pen.text((_MARGIN, _MARGIN), self.title, fill=_INK, font=_font(26))
        pen.multiline_text((_MARGIN, _MARGIN + 38), note, fill=_FAINT, font=_font(17), spacing=6)
        for index, heading in enumerate(self.columns):
            middle = (left + index * stride + width / 2, top)
            pen.text(middle, heading, fill=_INK, font=_fitting(pen, heading, 20, width), anchor="ma")
        top += _HEAD_HEIGHT
        for label, cells in self.rows:
            lines = _wrap(label, _font(20), _LABEL_WIDTH - _GAP)
            pen.multiline_text((_MARGIN, top + height / 2), lines, fill=_INK, font=_font(20), anchor="lm")
            for index, cell in enumerate(cells):
                sheet.paste(cell.picture, (left + index * stride, top))
                middle = (left + index * stride + width / 2, top + height + 6)
                pen.text(middle, cell.caption, fill=_FAINT, font=_font(17), anchor="ma")
            top += height + _CAPTION_HEIGHT + _GAP
        return sheet

    def save(self, path: Path) -> None:
        """Writes the sheet as PNG, whole or not at all."""
        with writing(path) as temporary:
            self.draw().save(temporary, format="PNG", optimize=True)


def _font(size: float) -> _Font:
    """Pillow's own scalable typeface: the same on every machine."""
    return ImageFont.load_default(size)


def _fitting(pen: ImageDraw.ImageDraw, text: str, size: float, width: int) -> _Font:
    """The typeface at `size`, or smaller where the text would be wider than its column."""
    return _font(min(size, size * width / max(pen.textlength(text, _font(size)), 1)))


def _wrap(text: str, font: _Font, width: int) -> str:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)
