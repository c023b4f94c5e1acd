from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixdq.eval.contact_sheet import Cell, Sheet


def _sheet(colours: list[list[tuple[int, int, int]]], label: str = "a prompt") -> Sheet:
    rows = tuple(
        (label, tuple(Cell(Image.new("RGB", (40, 40), colour), "31.1 dB") for colour in row))
        for row in colours
    )
    return Sheet("a title", "a note", tuple(f"column {n}" for n in range(len(colours[0]))), rows)


def test_every_picture_is_whole_and_in_its_row_and_column() -> None:
    colours = [[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 0, 255)]]
    drawn = np.asarray(_sheet(colours).draw())
    centres = {}
    for row, line in enumerate(colours):
        for column, colour in enumerate(line):
            ys, xs = np.nonzero((drawn == colour).all(axis=2))
            assert len(ys) == 40 * 40
            centres[row, column] = (ys.mean(), xs.mean())
    assert centres[0, 0][0] == centres[0, 1][0] < centres[1, 0][0]
    assert centres[0, 0][1] == centres[1, 0][1] < centres[0, 1][1]


def test_there_is_text_beside_and_under_the_pictures() -> None:
    with_text = np.asarray(_sheet([[(255, 0, 0)]], label="word").draw())
    without = np.asarray(_sheet([[(255, 0, 0)]], label="").draw())
    ys, xs = np.nonzero((with_text != without).any(axis=2))
    red_ys, red_xs = np.nonzero((with_text == (255, 0, 0)).all(axis=2))
    assert xs.max() < red_xs.min()
    assert red_ys.min() < ys.mean() < red_ys.max()
    below = with_text[red_ys.max() + 1 :]
    assert below.min() < 200


def test_a_long_label_is_wrapped_beside_its_picture() -> None:
    long = np.asarray(_sheet([[(255, 0, 0)]], label="many words " * 6).draw())
    short = np.asarray(_sheet([[(255, 0, 0)]], label="").draw())
    assert long.shape == short.shape
    _, xs = np.nonzero((long != short).any(axis=2))
    _, red_xs = np.nonzero((long == (255, 0, 0)).all(axis=2))
    assert xs.max() < red_xs.min()


def test_a_sheet_that_cannot_be_drawn_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "samples.png"
    with pytest.raises(IndexError):
        Sheet("a title", "", (), ()).save(path)
    assert list(tmp_path.iterdir()) == []


def test_a_saved_sheet_opens_as_png(tmp_path: Path) -> None:
    path = tmp_path / "samples.png"
    _sheet([[(255, 0, 0)]]).save(path)
    with Image.open(path) as opened:
        assert opened.format == "PNG"


def test_a_long_note_is_wrapped_above_the_pictures_which_move_down() -> None:
    colours = [[(255, 0, 0), (0, 255, 0)]]
    short, long = _sheet(colours), replace(_sheet(colours), note="many words " * 40)
    one, other = np.asarray(short.draw()), np.asarray(long.draw())
    assert other.shape[1] == one.shape[1]
    assert other.shape[0] > one.shape[0] + 100
    red, _ = np.nonzero((other == (255, 0, 0)).all(axis=2))
    # The right margin stays empty, and so does the space between the note and the column's heading.
    heading = red.min() - 40
    assert (other[:heading, -28:] == 255).all()
    assert (other[heading - 10 : heading] == 255).all()
