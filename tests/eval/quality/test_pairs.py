from pathlib import Path

import numpy as np
import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.eval.quality.pairs import check_counts, notes, partners
from mixdq.eval.quality.pictures import open_drawn

from .conftest import SetMaker


def test_pairs_come_from_the_manifest_and_not_from_sorted_names(make_set: SetMaker) -> None:
    # As strings, 0, 1, 10, 2: a sorted listing would pair the pictures of 2 and 10 with each other.
    names = [f"{index}.png" for index in range(11)]
    reference = open_drawn(make_set("reference", 11))
    other = open_drawn(make_set("other", 11, files=names))
    places = partners(reference, other)
    assert sorted(names)[2] == "10.png"
    for place, partner in enumerate(places):
        assert other.records[partner].file == f"{place}.png"
        assert np.array_equal(np.asarray(reference.load(place)), np.asarray(other.load(partner)))


@pytest.mark.parametrize(
    ("difference", "message"),
    [
        ({"count": 5}, "holds 5 pictures and .* 12: scores of different numbers are never compared"),
        ({"side": 48}, "pictures of 48 pixels and .* of 32"),
        (
            {"model": "other", "model_digest": "4" * 64},
            "drawn by the model other .4{12}…. and .*reference by tiny .0{12}….: .*; draw both with one",
        ),
        ({"seeds": range(1, 13)}, "12 of 12 pictures have no partner. Index 0 has seed 1 in the first, 0 in"),
        ({"prompts": [*"abcdefghijkl"]}, "Index 0 shows 'a' in the first, 'prompt 0' in the second"),
    ],
)
def test_sets_of_other_runs_are_refused_with_what_differs(
    make_set: SetMaker, difference: dict[str, object], message: str
) -> None:
    reference, other = open_drawn(make_set("reference")), open_drawn(make_set("other", **difference))
    with pytest.raises(EvaluationError, match=message):
        partners(reference, other)


def test_sets_of_different_numbers_are_not_put_in_one_table(make_set: SetMaker) -> None:
    sets = [open_drawn(make_set("a", 4)), open_drawn(make_set("b", 5))]
    with pytest.raises(EvaluationError, match=r"a holds 4, .*b holds 5"):
        check_counts(sets)


def test_equal_plans_and_equal_pictures_are_noted(make_set: SetMaker) -> None:
    plain = open_drawn(make_set("plain", plan_digest="1" * 64))
    again = open_drawn(make_set("again", plan_digest="2" * 64))
    noisy = open_drawn(make_set("noisy", noise=9, plan_digest="1" * 64))
    found = notes([plain, again, noisy])
    assert len(found) == 2
    assert "plain and" in found[0]
    assert found[0].endswith("hold the same pictures, byte for byte")
    assert "drawn with the same plan (111111111111…)" in found[1]
    assert notes([again, noisy]) == ()


def test_a_model_is_known_by_its_weights_and_not_by_its_folders_name(make_set: SetMaker) -> None:
    sets = [open_drawn(make_set(name, 3, model=name)) for name in ("sdxl-turbo", "copy")]
    assert partners(*sets) == (0, 1, 2)


def test_other_steps_are_noted(make_set: SetMaker) -> None:
    one, four = (open_drawn(make_set(f"s{steps}", 3, noise=steps, steps=steps)) for steps in (1, 4))
    (note,) = notes([one, four])
    assert "s1: 1 step of euler_ancestral; " in note
    assert note.endswith("s4: 4 steps of euler_ancestral")


def test_the_same_prompt_and_seed_twice_are_refused(make_set: SetMaker) -> None:
    folder: Path = make_set("twice", 3, prompts=["apple", "pear", "apple"], seeds=[7, 7, 7])
    with pytest.raises(EvaluationError, match=r"more than once.*'apple' with seed 7"):
        open_drawn(folder)


def test_one_prompt_with_several_seeds_is_several_pictures(make_set: SetMaker) -> None:
    folder = make_set("seeds", 3, prompts=["apple"] * 3)
    assert len(open_drawn(folder).records) == 3
