from __future__ import annotations

import json
from pathlib import Path

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.eval.images.prompts import read_prompts
from mixdq.eval.reproduce.coco import recipe_prompts


def _captions(path: Path, *annotations: tuple[int, int, str]) -> Path:
    plain = [{"image_id": image, "id": number, "caption": text} for image, number, text in annotations]
    path.write_text(json.dumps({"info": {}, "annotations": plain}))
    return path


def test_prompts_come_in_the_order_of_the_annotations_one_an_image(tmp_path: Path) -> None:
    path = _captions(
        tmp_path / "captions_val2014.json",
        (9, 40, "a clock "),
        (3, 50, "a cat\n"),
        (9, 30, "the same clock"),
        (5, 10, "a cat"),
    )
    assert recipe_prompts(path) == ("a clock", "a cat", "a cat")
    # Other commands go by the numbers of images and annotations.
    assert read_prompts(path) == ("a cat\n", "a cat", "the same clock")


def test_other_files_are_read_as_everywhere(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text('["b", "a"]')
    (tmp_path / "list.txt").write_text("b\n\na\n")
    assert recipe_prompts(tmp_path / "list.json") == recipe_prompts(tmp_path / "list.txt") == ("b", "a")


def test_an_image_whose_first_caption_is_empty_is_refused(tmp_path: Path) -> None:
    path = _captions(tmp_path / "captions.json", (7, 1, " "), (7, 2, "a dog"))
    with pytest.raises(EvaluationError, match="the first caption of image 7 is empty"):
        recipe_prompts(path)


def test_a_file_without_captions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="holds no captions"):
        recipe_prompts(_captions(tmp_path / "captions.json"))
