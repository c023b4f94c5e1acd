import numpy as np

from mixdq.eval.scorers.retrieval import hits

TEXTS = np.eye(3)


def test_a_prompt_that_finds_its_own_picture_counts() -> None:
    # Prompts 0 and 2 are nearest to their own pictures, prompt 1 to the third (0.8 against 0.6).
    images = np.array([[1.0, 0.0, 0.0], [0.0, 0.6, 0.0], [0.0, 0.8, 0.6]])
    assert hits(images, TEXTS, ["a cat", "a dog", "a tree"]).tolist() == [1.0, 0.0, 1.0]


def test_another_picture_of_the_same_prompt_counts_as_its_own() -> None:
    # Both cats are nearest to the second picture.
    images = np.array([[0.6, 0.8, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    texts = TEXTS[[0, 0, 2]]
    assert hits(images, texts, ["a cat", "a cat", "a tree"]).tolist() == [1.0, 1.0, 1.0]
    assert hits(images, texts, ["a cat", "a dog", "a tree"]).tolist() == [0.0, 1.0, 1.0]


def test_shuffled_pictures_are_not_found() -> None:
    assert hits(TEXTS[[1, 2, 0]], TEXTS, ["a", "b", "c"]).mean() == 0
