from __future__ import annotations

from pathlib import Path

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.eval.reproduce.claim import Claim, claim

WANTED = Claim("table1", {"seed": "0", "prompts digest": "a" * 64})


def test_a_folder_that_was_claimed_is_its_recipe_s_again(tmp_path: Path) -> None:
    claim(tmp_path / "out", WANTED)
    claim(tmp_path / "out", WANTED)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Claim("table2", WANTED.settings), "holds the results of table1, not of table2"),
        (Claim("table1", {**WANTED.settings, "seed": "7"}), "seed was 0, is 7"),
        (Claim("table1", {"seed": "0"}), "prompts digest was aaaaaaaaaaaa…, is not given"),
        (Claim("table1", {**WANTED.settings, "reference": "b"}), "reference was not given, is b"),
    ],
)
def test_another_recipe_or_other_options_are_refused(tmp_path: Path, other: Claim, words: str) -> None:
    claim(tmp_path, WANTED)
    with pytest.raises(EvaluationError, match=words):
        claim(tmp_path, other)


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(EvaluationError, match="give --out a new or empty folder"):
        claim(tmp_path, WANTED)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
