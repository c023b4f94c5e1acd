import json
from pathlib import Path

import pytest

from mixdq.configs.errors import EvaluationError, StorageError
from mixdq.eval.images.prompts import read_prompts


def _write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_text_gives_a_prompt_a_line_and_blank_lines_do_not_count(tmp_path: Path) -> None:
    path = _write(tmp_path / "p.txt", "a cat\n\n   \na dog\n\t\n")
    assert read_prompts(path) == ("a cat", "a dog")


def test_prompts_stand_in_the_list_exactly_as_in_the_file(tmp_path: Path) -> None:
    long = "a very long prompt, " * 40
    prompts = ["  two spaces before", "commas, and “quotes”", "猫 и кошка 🐈", long, "[not] JSON"]
    assert read_prompts(_write(tmp_path / "p.txt", "\n".join(prompts))) == tuple(prompts)


def test_only_line_feeds_end_a_prompt(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes("\ufeffone\u2028still one\x0b\x85\r\ntwo\rstill two\n".encode())
    assert read_prompts(path) == ("one\u2028still one\x0b\x85", "two\rstill two")


@pytest.mark.parametrize("count", [32, 1024, 40504])
def test_every_line_of_a_long_list_counts(tmp_path: Path, count: int) -> None:
    path = _write(tmp_path / "p.txt", "".join(f"picture {number}\n" for number in range(count)))
    prompts = read_prompts(path)
    assert (len(prompts), prompts[-1]) == (count, f"picture {count - 1}")


def test_coco_gives_each_image_s_first_annotation_in_the_order_of_the_images(tmp_path: Path) -> None:
    annotations = [
        {"image_id": 30, "id": 7, "caption": "a late dog"},
        {"image_id": 9, "id": 5, "caption": "another cat"},
        {"image_id": 30, "id": 2, "caption": "a dog"},
        {"image_id": 9, "id": 4, "caption": "a cat\n"},
        {"image_id": 100, "id": 1, "caption": "a dog"},
    ]
    path = _write(tmp_path / "c.json", {"info": {}, "images": [], "annotations": annotations})
    assert read_prompts(path) == ("a cat\n", "a dog", "a dog")


def test_a_list_may_hold_texts_captions_and_prompts(tmp_path: Path) -> None:
    entries = ["a cat", {"caption": "a dog", "url": "x"}, {"prompt": "a cow"}]
    assert read_prompts(_write(tmp_path / "l.JSON", entries)) == ("a cat", "a dog", "a cow")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no prompt"),
        (" \n\n", "holds no prompt"),
    ],
)
def test_a_text_without_prompts_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        read_prompts(_write(tmp_path / "p.txt", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not valid JSON"),
        ([], "holds no prompt"),
        ({"annotations": []}, "holds no prompt"),
        ({"captions": ["a cat"]}, "none of the forms.*list of texts.*annotations"),
        (7, "none of the forms"),
        (["a cat", 7], "entry 1"),
        (["a cat", None], "entry 1"),
        ([{"text": "a cat"}], "entry 0"),
        ([{"caption": "a cat", "prompt": "a dog"}], "entry 0"),
        ([{"caption": ["a cat"]}], "entry 0"),
        (["a cat", " "], "prompt 1 .* is empty"),
        (["\ud83d"], "prompt 0 .* no Unicode"),
        ({"annotations": [{"image_id": 1, "caption": "a cat"}]}, "annotations.0.id"),
        ({"annotations": [{"image_id": "1", "id": 1, "caption": "a cat"}]}, "annotations.0.image_id"),
    ],
)
def test_json_of_no_known_form_is_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        read_prompts(_write(tmp_path / "p.json", content))


@pytest.mark.parametrize("name", ["p.txt", "p.json"])
def test_text_that_is_no_utf_8_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'["caf\xe9"]')
    with pytest.raises(EvaluationError, match="no UTF-8"):
        read_prompts(tmp_path / name)


@pytest.mark.parametrize("name", ["p.txt", "p.json"])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match=rf"{name} does not exist; give --prompts a text file"):
        read_prompts(tmp_path / name)
