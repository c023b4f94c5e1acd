from __future__ import annotations

import pytest

from mixdq.eval.compare.comparison import verdict_of
from mixdq.eval.compare.report import Verdict
from mixdq.eval.compare.tolerance import BlockFigures, Bounds

GOOD = BlockFigures(30.0, 40.0, Bounds(30.0, 35.0))
BAD = BlockFigures(30.0, 20.0, Bounds(30.0, 35.0))


@pytest.mark.parametrize(
    ("block", "as_built", "verdict"),
    [
        (GOOD, True, Verdict.WITHIN),
        (GOOD, None, Verdict.WITHIN),
        (GOOD, False, Verdict.CHANGED),
        (BAD, True, Verdict.OUTSIDE),
        (BAD, False, Verdict.OUTSIDE),
    ],
)
def test_a_file_that_is_not_the_built_one_never_passes(
    block: BlockFigures, as_built: bool | None, verdict: Verdict
) -> None:
    assert verdict_of({"": GOOD, "mid_block": block}, as_built) is verdict
