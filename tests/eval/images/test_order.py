import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.eval.images.order import Order, order_digest, order_pictures

PROMPTS = tuple(f"prompt {number}" for number in range(12))


def _order(
    prompts: tuple[str, ...] = PROMPTS,
    seed: int = 100,
    start: int = 0,
    count: int | None = None,
    allow_duplicates: bool = False,
) -> tuple[Order, ...]:
    return order_pictures(prompts, seed=seed, start=start, count=count, allow_duplicates=allow_duplicates)


def test_each_prompt_has_its_place_s_seed_and_name_whichever_part_is_drawn() -> None:
    whole = _order()
    assert whole[3] == Order(3, "prompt 3", 103, "0003.png")
    assert _order(start=3, count=2) == whole[3:5]
    assert _order(start=10) == whole[10:]


@pytest.mark.parametrize(("length", "last"), [(1, "0000.png"), (10_000, "9999.png"), (10_001, "10000.png")])
def test_names_are_as_wide_as_the_list_s_last_index(length: int, last: str) -> None:
    prompts = tuple(map(str, range(length)))
    files = [one.file for one in _order(prompts)]
    assert files[-1] == last
    assert sorted(files) == files


@pytest.mark.parametrize(("start", "count"), [(0, 13), (12, None), (12, 1), (20, None), (-1, 2), (3, 0)])
def test_a_part_that_the_list_does_not_hold_is_refused(start: int, count: int | None) -> None:
    with pytest.raises(EvaluationError, match="holds 12 prompts, and"):
        _order(start=start, count=count)


def test_repeated_prompts_are_refused_and_all_their_places_named() -> None:
    with pytest.raises(EvaluationError, match=r"prompts 0, 2, 4 are all 'a cat'.*--allow-duplicates"):
        _order(("a cat", "a dog", "a cat", "a cow", "a cat"))


def test_repeated_prompts_outside_of_the_part_do_not_matter() -> None:
    assert len(_order(("a cat", "a dog", "a cat"), count=2)) == 2


def test_allowed_copies_differ_by_their_seeds() -> None:
    first, _, last = _order(("a cat", "a dog", "a cat"), allow_duplicates=True)
    assert (first.prompt, first.seed, last.prompt, last.seed) == ("a cat", 100, "a cat", 102)


def test_the_digest_is_of_places_seeds_and_prompts() -> None:
    digest = order_digest(_order(count=3))
    assert digest == order_digest(_order((*PROMPTS[:3], "another one"), count=3))
    others = [
        _order(count=2),
        _order(count=3, seed=101),
        _order(start=1, count=3),
        _order(("prompt 0", "Prompt 1", "prompt 2")),
    ]
    assert digest not in {order_digest(other) for other in others}
