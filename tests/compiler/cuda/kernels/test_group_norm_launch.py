"""Which group norms take one launch."""

from __future__ import annotations

import pytest

from mixdq.compiler.cuda.kernels.check import odd_checks
from mixdq.compiler.cuda.kernels.group_norm_launch import fits_one_launch
from mixdq.compiler.cuda.kernels.shapes import GroupNorm


@pytest.mark.parametrize(
    ("side", "channels", "one"), [(16, 2560, True), (24, 1280, True), (32, 320, False), (64, 320, False)]
)
def test_only_small_images_take_one_launch(side: int, channels: int, one: bool) -> None:
    assert fits_one_launch(side**2, channels // 32) is one


def test_odd_sizes_are_checked_both_ways() -> None:
    works = [check.keywords.get("work") for check in odd_checks() if hasattr(check, "keywords")]
    norms = [work for work in works if isinstance(work, GroupNorm)]
    ways = {fits_one_launch(work.side**2, (work.first + work.second) // 32) for work in norms}
    assert ways == {True, False}
