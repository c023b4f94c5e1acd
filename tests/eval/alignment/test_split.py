import pytest

from mixdq.eval.alignment.split import Side, family, side


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (("man juggling", "woman juggling", "person juggling"), "juggling"),
        (("guard", "man guard", "woman guard"), "guard"),
        (("person: beard", "man: beard"), "beard"),
        (("one o'clock", "two-thirty"), "clock"),
        (("family: man, boy", "family: woman, girl, boy"), "family"),
        (("kiss", "kiss: woman, man"), "kiss"),
        (("keycap: 1", "keycap: #"), "keycap"),
        (("man", "woman", "older person"), "person"),
    ],
)
def test_emoji_that_differ_in_who_or_when_are_one_family(labels: tuple[str, ...], name: str) -> None:
    assert {family(label) for label in labels} == {name}


def test_words_that_only_contain_a_person_keep_their_family() -> None:
    assert family("manual wheelchair") == "manual wheelchair"
    assert family("kissing cat") == "kissing cat"


def test_a_family_is_on_one_side() -> None:
    assert side("man guard") == side("woman guard") == side("guard") == Side.HELD_OUT


def test_sides_do_not_move() -> None:
    # Published with the weights: a change would train on what was held out.
    sides = [side(label) for label in ("banana", "fox", "rocket", "automobile", "grinning face", "cat")]
    assert sides == [Side.HELD_OUT, Side.HELD_OUT, Side.TRAIN, Side.HELD_OUT, Side.TRAIN, Side.TRAIN]


def test_a_tenth_is_held_out_and_a_tenth_validates() -> None:
    sides = [side(f"thing {number}") for number in range(4000)]
    # Three standard deviations of a binomial count.
    assert abs(sides.count(Side.HELD_OUT) - 400) < 57
    assert abs(sides.count(Side.VALIDATE) - 400) < 57
