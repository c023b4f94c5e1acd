from pathlib import Path

import pytest
from PIL import Image

from mixdq.configs.errors import EvaluationError
from mixdq.eval.quality.pictures import DrawnSet, Photographs, open_drawn, open_reference

from .conftest import SetMaker


def test_a_folder_with_a_manifest_is_a_set(make_set: SetMaker) -> None:
    opened = open_reference(make_set("reference", 3))
    assert isinstance(opened, DrawnSet)
    assert opened.load(2).size == (32, 32)


def test_a_folder_without_one_is_photographs_of_any_size(make_photographs: SetMaker) -> None:
    opened = open_reference(make_photographs("photos", 4))
    assert isinstance(opened, Photographs)
    assert opened.files == ("0.png", "1.png", "2.png", "3.png")
    assert {opened.load(place).size for place in range(4)} == {(32, 32), (31, 40), (32, 48), (31, 32)}


def test_photographs_keep_their_digest_under_other_names(make_photographs: SetMaker) -> None:
    folder = make_photographs("photos", 3)
    before = open_reference(folder).sha256
    (folder / "0.png").rename(folder / "last.png")
    assert open_reference(folder).sha256 == before
    Image.new("RGB", (8, 8)).save(folder / "more.png")
    assert open_reference(folder).sha256 != before


def test_a_set_to_score_needs_a_manifest(make_photographs: SetMaker) -> None:
    with pytest.raises(EvaluationError, match=r"holds no manifest.json"):
        open_drawn(make_photographs("photos"))


def test_a_set_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"there is no folder .*nope; give one"):
        open_drawn(tmp_path / "nope")


def test_an_empty_folder_and_none_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"holds neither a manifest.json nor pictures"):
        open_reference(tmp_path)
    with pytest.raises(EvaluationError, match="is no folder"):
        open_reference(tmp_path / "none")


def test_a_set_with_a_changed_picture_is_refused_by_name(make_set: SetMaker) -> None:
    folder = make_set("changed", 3)
    Image.new("RGB", (32, 32)).save(folder / "0001.png")
    with pytest.raises(EvaluationError, match=r"0001\.png"):
        open_reference(folder)


def test_a_photograph_that_is_cut_short_is_named(make_photographs: SetMaker) -> None:
    folder = make_photographs("photos", 3)
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    opened = open_reference(folder)
    with pytest.raises(EvaluationError, match=r"1\.png can't be decoded"):
        opened.load(1)
