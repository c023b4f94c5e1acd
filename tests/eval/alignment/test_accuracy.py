import numpy as np
import pytest

from mixdq.eval.alignment.accuracy import accuracy


def test_pairs_that_match_perfectly() -> None:
    found = accuracy(np.eye(6), np.eye(6))
    assert (found.image_to_text_at_1, found.text_to_image_at_1, found.auc) == (1, 1, 1)
    assert (found.matched_mean, found.mismatched_mean) == (1, 0)
    assert found.chance_at_1 == pytest.approx(1 / 6)


def test_each_direction_is_counted_by_itself() -> None:
    # Cosines [[0.6, 0.8], [0, 1]]: picture 0 prefers text 1; text 0 prefers picture 0, text 1 picture 1.
    found = accuracy(np.array([[0.6, 0.8], [0.0, 1.0]]), np.eye(2))
    assert found.image_to_text_at_1 == 0.5
    assert found.text_to_image_at_1 == 1.0
    # Of the four comparisons of {0.6, 1} with {0.8, 0} one is lost.
    assert found.auc == 0.75


def test_an_encoder_that_gives_one_direction_is_at_chance() -> None:
    found = accuracy(np.ones((6, 1)), np.ones((6, 1)))
    assert found.auc == 0.5
    # Ties count against the pair, or a collapsed encoder would look perfect.
    assert found.image_to_text_at_1 == found.text_to_image_at_5 == 0.0


def test_auc_is_the_share_of_comparisons_won() -> None:
    random = np.random.default_rng(0)
    images, texts = (random.normal(size=(9, 4)) for _ in range(2))
    scores = images @ texts.T
    others = [scores[i, j] for i in range(9) for j in range(9) if i != j]
    won = [float(scores[i, i] > other) for i in range(9) for other in others]
    assert accuracy(images, texts).auc == pytest.approx(np.mean(won), abs=1e-12)
