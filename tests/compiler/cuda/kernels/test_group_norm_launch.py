"""How norms are launched: which group norms at once, how many groups and channels a program has."""

from __future__ import annotations

import pytest

from mixdq.compiler.cuda.kernels.check import odd_checks
from mixdq.compiler.cuda.kernels.group_norm_launch import fits_one_launch, groups_spanned
from mixdq.compiler.cuda.kernels.layer_norm import channels_at_once
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


@pytest.mark.parametrize(
    ("channels", "most"), [(320, 8), (640, 4), (960, 4), (1280, 3), (1920, 2), (2560, 2)]
)
def test_a_program_of_64_channels_merges_the_groups_that_it_touches(channels: int, most: int) -> None:
    group = channels // 32
    touched = [{c // group for c in range(start, start + 64)} for start in range(0, channels, 64)]
    assert groups_spanned(channels, group) == max(map(len, touched)) == most


@pytest.mark.parametrize(
    ("channels", "threads", "read"), [(1280, 32, 256), (640, 32, 128), (1280, 256, 2048), (96, 32, 128)]
)
def test_a_row_is_read_in_runs_that_leave_no_thread_idle_where_there_are_any(
    channels: int, threads: int, read: int
) -> None:
    assert channels_at_once(channels, threads) == read
