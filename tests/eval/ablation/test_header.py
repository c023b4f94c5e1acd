from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.ranges import CalibrationRun
from mixdq.eval.ablation.header import Header, claim

RUN = CalibrationRun(prompts=64, prompts_digest="9" * 64, seed=0, resolutions=(128,), steps=1)

HEADER = Header(
    model=ModelIdentity("tiny", "a" * 64),
    layers_digest="b" * 64,
    sensitivity_digest="c" * 64,
    prompts_digest="d" * 64,
    count=4,
    seed=0,
    resolution=128,
    calibration=RUN,
    ratio=None,
    plans={},
)


def test_the_same_ablation_goes_on(tmp_path: Path) -> None:
    claim(tmp_path / "out", HEADER)
    before = (tmp_path / "out" / "header.json").read_bytes()
    claim(tmp_path / "out", replace(HEADER))
    assert (tmp_path / "out" / "header.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sensitivity_digest": "e" * 64}, "sensitivity_digest was cccccccccccc…, is eeeeeeeeeeee…"),
        ({"seed": 5}, "seed was 0, is 5"),
        ({"plans": {"w5a8-mixdq": "f" * 64}}, "plans was none, is w5a8-mixdq ffffffffffff…"),
        (
            {"calibration": replace(RUN, prompts=8, prompts_digest="1" * 64)},
            "calibration was prompts 64 (999999999999…), seed 0, pixels 128, steps 1, "
            "is prompts 8 (111111111111…), seed 0, pixels 128, steps 1;",
        ),
        (
            {"calibration": replace(RUN, resolutions=(128, 256))},
            "is prompts 64 (999999999999…), seed 0, pixels 128 256,",
        ),
        (
            {"model": ModelIdentity("tiny", "0" * 64)},
            "model was tiny (aaaaaaaaaaaa…), is tiny (000000000000…)",
        ),
    ],
)
def test_a_folder_of_another_ablation_is_refused_and_says_what_differs(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    claim(tmp_path, HEADER)
    with pytest.raises(EvaluationError) as caught:
        claim(tmp_path, replace(HEADER, **change))  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert "give --out another folder" in str(caught.value)


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(EvaluationError, match="holds files and no header"):
        claim(tmp_path, HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
