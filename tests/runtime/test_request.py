from collections.abc import Sequence

import numpy as np
import pytest

from mixdq.configs.errors import RequestError
from mixdq.runtime.request import parse_request


def test_one_seed_serves_all_prompts() -> None:
    request = parse_request(["a", "b"], 3, 16, 1, (16, 24))
    assert (request.prompts, request.seeds) == (("a", "b"), (3, 3))


def test_several_seeds_draw_one_prompt_several_times() -> None:
    request = parse_request("a", range(3), 16, 1, (16,))
    assert (request.prompts, request.seeds) == (("a", "a", "a"), (0, 1, 2))


def test_a_numpy_integer_is_a_seed() -> None:
    assert parse_request("a", np.int64(4), 16, 1, (16,)).seeds == (4,)
    assert parse_request("a", np.array(4), 16, 1, (16,)).seeds == (4,)


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_an_array_of_integers_is_several_seeds(kind: type[np.integer]) -> None:
    request = parse_request("a", np.array([4, 7], dtype=kind), 16, 1, (16,))
    assert (request.prompts, request.seeds) == (("a", "a"), (4, 7))
    assert [type(seed) for seed in request.seeds] == [int, int]


def test_a_single_resolution_need_not_be_named() -> None:
    assert parse_request("a", 0, None, 1, (16,)).resolution == 16


def test_an_open_choice_of_resolution_is_refused() -> None:
    with pytest.raises(RequestError, match="16, 24 pixels; pass resolution="):
        parse_request("a", 0, None, 1, (16, 24))


def test_an_unknown_resolution_is_refused() -> None:
    with pytest.raises(RequestError, match="16, 24 pixels, not of 32"):
        parse_request("a", 0, 32, 1, (16, 24))


@pytest.mark.parametrize(("prompts", "seeds"), [([], 0), (["a"], []), ("a", [])])
def test_an_empty_list_is_refused(prompts: list[str], seeds: list[int]) -> None:
    with pytest.raises(RequestError, match="empty list"):
        parse_request(prompts, seeds, 16, 1, (16,))


def test_prompts_and_seeds_that_do_not_pair_up_are_refused() -> None:
    with pytest.raises(RequestError, match="3 prompts and 2 seeds"):
        parse_request(["a", "b", "c"], [1, 2], 16, 1, (16,))


@pytest.mark.parametrize("seed", [-1, [0, -5]])
def test_a_negative_seed_is_refused(seed: int | Sequence[int]) -> None:
    with pytest.raises(RequestError, match="not -"):
        parse_request("a", seed, 16, 1, (16,))


@pytest.mark.parametrize("resolution", [16.0, "16", True, np.float32(16)])
def test_a_resolution_that_is_no_integer_is_refused(resolution: object) -> None:
    with pytest.raises(RequestError, match="a resolution is an integer, not "):
        parse_request("a", 0, resolution, 1, (16,))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [1.5, "7", None, True, np.array([0.5]), np.array([[1]]), np.array(1.0)])
def test_a_seed_that_is_no_integer_is_refused(seed: object) -> None:
    with pytest.raises(RequestError, match="a seed is an integer"):
        parse_request("a", seed, 16, 1, (16,))  # type: ignore[arg-type]


@pytest.mark.parametrize("prompt", [None, 5, ["a", None], b"a"])
def test_a_prompt_that_is_no_text_is_refused(prompt: object) -> None:
    with pytest.raises(RequestError, match="text or a list of texts"):
        parse_request(prompt, 0, 16, 1, (16,))  # type: ignore[arg-type]
