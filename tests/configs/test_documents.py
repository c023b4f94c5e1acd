from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, parse, read_json, read_yaml, to_json, to_plain
from mixdq.configs.errors import PlanError, StorageError


@dataclass(frozen=True, slots=True, config=STRICT)
class FruitBasket:
    name: str
    weight_kg: float
    counts: Mapping[str, int]


BASKET = FruitBasket("Früchte", 1.5, {"pear": 2, "apple": 1})


def _refusal(data: object) -> str:
    with pytest.raises(PlanError) as refused:
        parse(FruitBasket, data, "basket.yaml", PlanError)
    return str(refused.value)


def _written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "document"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _yaml_refusal(tmp_path: Path, content: str | bytes) -> str:
    path = _written(tmp_path, content)
    with pytest.raises(PlanError) as refused:
        read_yaml(FruitBasket, path, PlanError)
    assert str(path) in str(refused.value)
    return str(refused.value)


def test_a_document_survives_json() -> None:
    text = to_json(BASKET)
    assert parse(FruitBasket, json.loads(text), "basket.json", PlanError) == BASKET


def test_json_keeps_the_order_of_fields_and_the_letters_and_ends_in_a_newline() -> None:
    assert to_json(FruitBasket("Früchte", 1.5, {"pear": 2})) == (
        '{\n  "name": "Früchte",\n  "weight_kg": 1.5,\n  "counts": {\n    "pear": 2\n  }\n}\n'
    )


def test_plain_data_is_dictionaries_strings_and_numbers() -> None:
    assert to_plain(BASKET) == {"name": "Früchte", "weight_kg": 1.5, "counts": {"pear": 2, "apple": 1}}


def test_an_unknown_field_is_refused_by_its_name() -> None:
    message = _refusal({"name": "a", "weight_kg": 1, "counts": {}, "colour": "red"})
    assert message.startswith("basket.yaml is not a valid fruit basket: colour: ")


def test_a_missing_field_is_refused_by_its_name() -> None:
    assert "weight_kg: Field required" in _refusal({"name": "a", "counts": {}})


def test_a_wrong_type_is_refused_by_its_path() -> None:
    assert "counts.pear: " in _refusal({"name": "a", "weight_kg": 1, "counts": {"pear": "many"}})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(number: float) -> None:
    assert "weight_kg: Input should be a finite number" in _refusal(
        {"name": "a", "weight_kg": number, "counts": {}}
    )


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_json_with_a_number_that_is_not_finite_is_refused(tmp_path: Path, text: str) -> None:
    path = _written(tmp_path, f'{{"name": "a", "weight_kg": {text}, "counts": {{}}}}')
    with pytest.raises(PlanError, match="weight_kg: Input should be a finite number"):
        read_json(FruitBasket, path, PlanError)


def test_three_faults_are_named_and_the_rest_counted() -> None:
    message = _refusal({"a": 1, "b": 2, "c": 3})
    named = message.partition(": ")[2]
    assert named.count(";") == 2
    assert named.endswith("(and 3 more)")  # three fields are missing and three unknown


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_a_document_that_is_no_mapping_is_refused(data: object) -> None:
    assert "basket.yaml is not a valid fruit basket: document: " in _refusal(data)


def test_an_empty_yaml_file_is_refused(tmp_path: Path) -> None:
    assert "is not a valid fruit basket" in _yaml_refusal(tmp_path, "")


def test_a_yaml_key_that_occurs_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    content = "name: a\nweight_kg: 1\ncounts:\n  pear: 1\n  pear: 2\n"
    message = _yaml_refusal(tmp_path, content)
    assert "the key 'pear' occurs twice" in message
    assert "line 5" in message


def test_the_same_yaml_key_in_two_mappings_is_no_repetition(tmp_path: Path) -> None:
    content = "name: a\nweight_kg: 1\ncounts: {name: 1, weight_kg: 2}\n"
    basket = read_yaml(FruitBasket, _written(tmp_path, content), PlanError)
    assert basket == FruitBasket("a", 1.0, {"name": 1, "weight_kg": 2})


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("name: [", id="an open bracket"),
        pytest.param("name: !!python/object:os.system {}", id="a Python object"),
        pytest.param("? [a, b]\n: 1\n", id="a list as a key"),
        pytest.param("name: 2020-99-99\n", id="a month that does not exist"),
        pytest.param("name: " + "9" * 5000, id="a number of 5000 digits"),
        pytest.param("[" * 600, id="600 open brackets"),
    ],
)
def test_what_is_no_yaml_is_refused(tmp_path: Path, content: str) -> None:
    assert "is not valid YAML: " in _yaml_refusal(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("{", id="an open brace"),
        pytest.param("", id="nothing"),
        pytest.param("9" * 5000, id="a number of 5000 digits"),
        pytest.param("[" * 100_000, id="100000 open brackets"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path: Path, content: str) -> None:
    path = _written(tmp_path, content)
    with pytest.raises(PlanError, match="document is not valid JSON: ") as refused:
        read_json(FruitBasket, path, PlanError)
    assert "\n" not in str(refused.value)


def test_bytes_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    assert "no UTF-8 text" in _yaml_refusal(tmp_path, b"name: \xff\xfe")
    with pytest.raises(PlanError, match="no UTF-8 text"):
        read_json(FruitBasket, _written(tmp_path, b'"\xff"'), PlanError)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "basket.json"
    with pytest.raises(StorageError) as refused:
        read_json(FruitBasket, path, PlanError)
    assert str(refused.value) == f"{path} does not exist"


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"could not read {tmp_path}: Is a directory"):
        read_yaml(FruitBasket, tmp_path, PlanError)
