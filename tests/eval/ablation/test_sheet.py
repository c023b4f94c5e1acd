from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mixdq.configs.files import sha256_of_file
from mixdq.configs.layers import ModelIdentity
from mixdq.eval.ablation.cases import CASES, FULL
from mixdq.eval.ablation.sheet import sample_sheet
from mixdq.eval.image_set import ImageRecord, ImageSet, Painter
from mixdq.eval.quality.pictures import DrawnSet, open_drawn

NAIVE = CASES[1]


def _draw(folder: Path, shade: int) -> DrawnSet:
    folder.mkdir()
    records = []
    for place in range(6):
        file = f"{place:04d}.png"
        Image.fromarray(np.full((16, 16, 3), shade + place, np.uint8)).save(folder / file)
        digest = sha256_of_file(folder / file)
        records.append(ImageRecord(place, f"prompt {place}", place, file, digest))
    model = ModelIdentity("tiny", "0" * 64)
    painter = Painter("bundle", model, "FP16", None, {}, "cpu", "cpu", "euler", 1, 16)
    ImageSet(painter, "3" * 64, 6, tuple(records), {}, {}).write(folder)
    return open_drawn(folder)


def test_a_row_is_a_configuration_and_a_column_a_prompt(tmp_path: Path) -> None:
    rows = {FULL: _draw(tmp_path / "full", 10), NAIVE: _draw(tmp_path / "naive", 100)}
    psnr = {FULL: (120.0,) * 6, NAIVE: tuple(20.0 + place for place in range(6))}
    sheet = sample_sheet(rows, psnr, columns=3)
    assert sheet.columns == ("prompt 0", "prompt 2", "prompt 4")
    assert [label for label, _ in sheet.rows] == ["full precision", "W8A16 naive: the same bits everywhere"]
    assert [cell.caption for cell in sheet.rows[0][1]] == ["reference"] * 3
    assert [cell.caption for cell in sheet.rows[1][1]] == ["20.0 dB", "22.0 dB", "24.0 dB"]
    assert [cell.picture.getpixel((0, 0)) for cell in sheet.rows[1][1]] == [
        (100, 100, 100),
        (102, 102, 102),
        (104, 104, 104),
    ]


def test_more_columns_than_prompts_are_as_many_as_there_are(tmp_path: Path) -> None:
    drawn = {FULL: _draw(tmp_path / "full", 10)}
    assert len(sample_sheet(drawn, {FULL: (120.0,) * 6}, columns=40).columns) == 6
