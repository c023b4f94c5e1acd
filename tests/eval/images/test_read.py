from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_file
from mixdq.eval.image_set import MANIFEST_FILE, ImageRecord, ImageSet
from mixdq.eval.images.read import load_image, read_set


def _swap(folder: Path, index: int, **changes: object) -> None:
    """Changes one record of the manifest."""
    images = ImageSet.read(folder)
    records = list(images.images)
    records[index] = replace(records[index], **changes)  # type: ignore[arg-type]
    replace(images, images=tuple(records)).write(folder)


def _bless(folder: Path, index: int) -> None:
    """Makes the manifest agree with the file as it is now."""
    file = ImageSet.read(folder).images[index].file
    _swap(folder, index, sha256=sha256_of_file(folder / file))


def test_a_whole_set_is_read_and_its_pictures_decoded(image_set: Path) -> None:
    images = read_set(image_set)
    assert [record.prompt for record in images.images] == ["prompt 0", "prompt 1", "prompt 2"]
    picture = load_image(image_set, images.images[2])
    expected = np.random.default_rng(2).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert picture.mode == "RGB"
    assert np.array_equal(np.asarray(picture), expected)


def test_notes_beside_the_pictures_are_let_be(image_set: Path) -> None:
    (image_set / "scores.json").write_text("{}")
    (image_set / ".0001.png.77.part").write_bytes(b"")
    assert read_set(image_set).count == 3


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"no manifest\.json.*mixdq-eval images"):
        read_set(tmp_path)


def test_a_set_that_was_interrupted_is_refused_with_both_counts(image_set: Path) -> None:
    replace(ImageSet.read(image_set), count=5).write(image_set)
    with pytest.raises(EvaluationError, match="3 of the 5 pictures"):
        read_set(image_set)


def test_a_set_of_no_pictures_is_refused(image_set: Path) -> None:
    replace(ImageSet.read(image_set), count=0, images=()).write(image_set)
    with pytest.raises(EvaluationError, match="0 of the 0"):
        read_set(image_set)


def test_a_missing_picture_is_named(image_set: Path) -> None:
    (image_set / "0001.png").unlink()
    with pytest.raises(EvaluationError, match=r"missing pictures: 0001\.png; draw"):
        read_set(image_set)


def test_a_changed_picture_is_named(image_set: Path) -> None:
    Image.new("RGB", (16, 16)).save(image_set / "0002.png")
    with pytest.raises(EvaluationError, match=r"changed or damaged.*: 0002\.png; draw"):
        read_set(image_set)


def test_a_corrupt_png_is_named_even_if_the_manifest_vouches_for_it(image_set: Path) -> None:
    path = image_set / "0000.png"
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    _bless(image_set, 0)
    with pytest.raises(EvaluationError, match=r"unusable pictures: 0000\.png \(no readable PNG"):
        read_set(image_set)


@pytest.mark.parametrize("keep", [0, 7, 20, 100])
def test_a_truncated_png_is_named_wherever_it_ends(image_set: Path, keep: int) -> None:
    path = image_set / "0000.png"
    path.write_bytes(path.read_bytes()[:keep])
    _bless(image_set, 0)
    with pytest.raises(EvaluationError, match=r"0000\.png \(no readable PNG"):
        read_set(image_set)


def test_a_jpeg_in_png_s_clothes_is_named(image_set: Path) -> None:
    Image.new("RGB", (16, 16)).save(image_set / "0001.png", format="JPEG")
    _bless(image_set, 1)
    with pytest.raises(EvaluationError, match=r"0001\.png \(no readable PNG"):
        read_set(image_set)


def test_a_picture_of_another_size_is_named_with_both_sizes(image_set: Path) -> None:
    Image.new("RGB", (16, 24)).save(image_set / "0001.png")
    _bless(image_set, 1)
    with pytest.raises(EvaluationError, match=r"0001\.png \(16x24 pixels, not 16x16\)"):
        read_set(image_set)


def test_a_picture_that_the_manifest_does_not_name_is_reported(image_set: Path) -> None:
    Image.new("RGB", (16, 16)).save(image_set / "10.PNG")
    with pytest.raises(EvaluationError, match=r"belong to no set here: 10\.PNG; move"):
        read_set(image_set)


def test_only_the_first_five_of_many_faulty_pictures_are_named(image_set: Path) -> None:
    for number in range(7):
        Image.new("RGB", (16, 16)).save(image_set / f"stray{number}.png")
    with pytest.raises(EvaluationError, match=r"stray4\.png and 2 more"):
        read_set(image_set)


@pytest.mark.parametrize("file", ["../set/0001.png", "/etc/hostname", ""])
def test_a_manifest_that_leads_out_of_its_folder_is_refused(image_set: Path, file: str) -> None:
    _swap(image_set, 1, file=file)
    with pytest.raises(EvaluationError, match="no file's"):
        read_set(image_set)


def test_two_records_of_one_file_are_refused(image_set: Path) -> None:
    _swap(image_set, 1, file="0000.png")
    with pytest.raises(EvaluationError, match=r"gives twice: 0000\.png"):
        read_set(image_set)


def test_records_out_of_order_are_refused(image_set: Path) -> None:
    images = ImageSet.read(image_set)
    replace(images, images=images.images[::-1]).write(image_set)
    with pytest.raises(EvaluationError, match="ascend"):
        read_set(image_set)


def test_a_manifest_that_is_no_json_is_refused(image_set: Path) -> None:
    (image_set / MANIFEST_FILE).write_text("{")
    with pytest.raises(EvaluationError, match="not valid JSON"):
        read_set(image_set)


def test_a_picture_that_breaks_after_the_check_is_named_when_it_is_decoded(image_set: Path) -> None:
    (image_set / "0000.png").write_bytes(b"no picture")
    with pytest.raises(EvaluationError, match=r"0000\.png can't be decoded"):
        load_image(image_set, ImageRecord(0, "", 0, "0000.png", ""))
