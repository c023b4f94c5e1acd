"""Weights in a component's folder: found, whole, read one at a time."""

import json
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file

from mixdq.configs.errors import ModelError
from mixdq.export.weights.files import StoredWeights, find_stored
from mixdq.export.weights.reader import HeldTensor

STEM = "model"


def _save(path: Path, **tensors: npt.NDArray[Any]) -> Path:
    save_file({name.replace("__", "."): np.ascontiguousarray(each) for name, each in tensors.items()}, path)
    return path


def _ramp(*shape: int, kind: npt.DTypeLike = np.float16) -> npt.NDArray[Any]:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape).astype(kind)


@pytest.mark.parametrize("kind", [np.float16, np.float32, ml_dtypes.bfloat16])
def test_a_tensor_is_read_in_the_type_that_it_is_stored_in(tmp_path: Path, kind: npt.DTypeLike) -> None:
    file = _save(tmp_path / "w.safetensors", first=_ramp(3), layer__weight=_ramp(2, 5, kind=kind))
    reader = StoredWeights((file,)).open()
    name = {"float16": "F16", "float32": "F32", "bfloat16": "BF16"}[np.dtype(kind).name]
    assert reader.tensors() == {
        "first": HeldTensor((3,), "F16", "first"),
        "layer.weight": HeldTensor((2, 5), name, "layer.weight"),
    }
    values = reader.read("layer.weight", (2, 5))
    assert values.dtype == kind
    np.testing.assert_array_equal(values.astype(np.float32), _ramp(2, 5, kind=np.float32))


def test_double_precision_is_refused(tmp_path: Path) -> None:
    file = _save(tmp_path / "w.safetensors", wide=_ramp(3, kind=np.float64))
    with pytest.raises(ModelError, match=r"holds wide as F64; mixdq reads F16, F32, BF16"):
        StoredWeights((file,)).open().read("wide", (3,))


def test_another_shape_and_an_absent_tensor_are_refused(tmp_path: Path) -> None:
    reader = StoredWeights((_save(tmp_path / "w.safetensors", a=_ramp(2, 3)),)).open()
    with pytest.raises(ModelError, match=r"holds a as \[2, 3\] where .* says \[3, 2\]"):
        reader.read("a", (3, 2))
    with pytest.raises(ModelError, match=r"w\.safetensors: there is no b;"):
        reader.read("b", (3, 2))


@pytest.mark.parametrize("kind", [np.float16, np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_single_nan_or_infinity_is_found(tmp_path: Path, kind: npt.DTypeLike, bad: float) -> None:
    values = _ramp(700, 800, kind=np.float32) % 100
    values[612, 333] = bad
    file = _save(tmp_path / "w.safetensors", a__weight=values.astype(kind))
    with pytest.raises(ModelError, match=r"holds NaN or infinity in a\.weight"):
        StoredWeights((file,)).open().read("a.weight", (700, 800))


@pytest.mark.parametrize("kind", [np.float16, np.float32, ml_dtypes.bfloat16])
def test_the_largest_finite_values_are_let_through(tmp_path: Path, kind: npt.DTypeLike) -> None:
    limits: Any = ml_dtypes.finfo(kind)  # type: ignore[no-untyped-call]
    extremes = np.array([limits.max, limits.min, limits.smallest_subnormal, -0.0], kind)
    file = _save(tmp_path / "w.safetensors", a=extremes)
    np.testing.assert_array_equal(StoredWeights((file,)).open().read("a", (4,)), extremes)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    file = _save(tmp_path / "w.safetensors", a=_ramp(50))
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"truncated|cut short"):
        StoredWeights((file,)).open()


def test_a_header_that_contradicts_a_shape_is_refused(tmp_path: Path) -> None:
    text = json.dumps({"a": {"dtype": "F16", "shape": [3], "data_offsets": [0, 4]}}).encode()
    file = tmp_path / "w.safetensors"
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(ModelError, match="no safetensors file"):
        StoredWeights((file,)).open()


def test_half_precision_is_found_before_plain_files(tmp_path: Path) -> None:
    plain = _save(tmp_path / "model.safetensors", a=_ramp(1))
    assert find_stored(tmp_path, STEM, None).files == (plain,)
    half = _save(tmp_path / "model.fp16.safetensors", a=_ramp(1))
    assert find_stored(tmp_path, STEM, None).files == (half,)


def test_a_named_variant_is_the_only_one_taken(tmp_path: Path) -> None:
    _save(tmp_path / "model.fp16.safetensors", a=_ramp(1))
    with pytest.raises(ModelError, match=r"no model\.bf16\.safetensors, only model\.fp16\.safetensors"):
        find_stored(tmp_path, STEM, "bf16")
    wanted = _save(tmp_path / "model.bf16.safetensors", a=_ramp(1))
    assert find_stored(tmp_path, STEM, "bf16").files == (wanted,)


@pytest.mark.parametrize(
    "index",
    [
        "model.safetensors.index.json",
        "model.safetensors.index.fp16.json",
        "model.fp16.safetensors.index.json",
    ],
)
def test_shards_are_read_as_one(tmp_path: Path, index: str) -> None:
    parts = (
        _save(tmp_path / "model-1-of-2.safetensors", a=_ramp(2)),
        _save(tmp_path / "model-2-of-2.safetensors", b=_ramp(3)),
    )
    table = {"weight_map": {"a": parts[0].name, "b": parts[1].name}}
    (tmp_path / index).write_text(json.dumps(table))
    found = find_stored(tmp_path, STEM, None)
    assert found.files == parts
    tensors = found.open().tensors()
    assert tensors is not None
    assert {name: held.shape for name, held in tensors.items()} == {"a": (2,), "b": (3,)}
    parts[1].unlink()
    with pytest.raises(ModelError, match=r"lacks model-2-of-2\.safetensors \(1 of 2"):
        find_stored(tmp_path, STEM, None)


@pytest.mark.parametrize("table", [{}, {"weight_map": []}, {"weight_map": {"a": "../a.safetensors"}}])
def test_an_index_without_files_of_its_folder_is_refused(tmp_path: Path, table: dict[str, Any]) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(table))
    with pytest.raises(ModelError, match="lists no safetensors files of its own folder"):
        find_stored(tmp_path, STEM, None)


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    files = tuple(_save(tmp_path / f"{n}.safetensors", a=_ramp(2)) for n in range(2))
    with pytest.raises(ModelError, match=r"1\.safetensors holds a, which .*0\.safetensors holds as a"):
        StoredWeights(files).open()


def test_pickled_weights_are_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(ModelError, match=r"as \.bin files.*safe_serialization"):
        find_stored(tmp_path, STEM, None)


def test_no_weights_at_all_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected model\.safetensors or model\.fp16\.safetensors"):
        find_stored(tmp_path / "absent", STEM, None)


def test_the_digest_follows_every_file(tmp_path: Path) -> None:
    one = _save(tmp_path / "one.safetensors", a=_ramp(2))
    two = _save(tmp_path / "two.safetensors", b=_ramp(2))
    before = StoredWeights((one, two)).digest()
    assert StoredWeights((one, two)).digest() == before
    assert StoredWeights((one,)).digest() not in {before, StoredWeights((two,)).digest()}
    _save(two, b=_ramp(2) + 1)
    assert StoredWeights((one, two)).digest() != before


def test_a_file_that_went_away_is_an_error_of_the_model(tmp_path: Path) -> None:
    gone = StoredWeights((tmp_path / "gone.safetensors",))
    with pytest.raises(ModelError, match=r"gone\.safetensors"):
        gone.digest()
    with pytest.raises(ModelError, match=r"gone\.safetensors"):
        gone.open()
