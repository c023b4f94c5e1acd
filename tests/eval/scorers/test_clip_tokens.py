from pathlib import Path

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.eval.scorers.clip_tokens import ClipTokens

START, END, A, CAT = 49406, 49407, 320, 2368


@pytest.fixture(scope="module")
def tokens() -> ClipTokens:
    """CLIP's own vocabulary."""
    return ClipTokens(None, 49408, 77)


def test_case_and_spaces_make_no_difference(tokens: ClipTokens) -> None:
    for prompt in ("a cat", " A  CAT\n"):
        assert tokens([prompt])[0, :4].tolist() == [START, A, CAT, END]


def test_entities_and_curly_quotes_are_read_as_what_they_mean(tokens: ClipTokens) -> None:
    found = tokens(["the cat’s “bed” &amp; a dog", 'the cat\'s "bed" & a dog'])
    assert found[0].tolist() == found[1].tolist()


def test_a_long_prompt_is_cut_and_still_ends(tokens: ClipTokens) -> None:
    found = tokens(["a cat " * 100])
    assert found.shape == (1, 77)
    assert found[0].tolist() == [START, *([A, CAT] * 38)[:75], END]


def test_a_prompt_of_nothing_is_a_start_and_an_end(tokens: ClipTokens) -> None:
    assert tokens([""])[0, :2].tolist() == [START, END]


def test_a_vocabulary_of_another_model_is_refused() -> None:
    with pytest.raises(EvaluationError, match="has 49408 entries, and the model 32000"):
        ClipTokens(None, 32000, 77)


def test_a_damaged_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(EvaluationError, match="holds no CLIP tokenizer that can be read"):
        ClipTokens(tmp_path, 49408, 77)
