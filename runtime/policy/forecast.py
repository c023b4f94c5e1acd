"""When those that wait will have their pictures, if each gets the fastest that it allows."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace
from math import sqrt
from typing import TypeAlias

from mixdq.runtime.policy.points import Point
from mixdq.runtime.policy.request import Request

Clock: TypeAlias = tuple[float, float, float]
"""When a worker is expected to be free, the variance of that time, and its pace."""


def finish_times(waiting: Sequence[Request], clocks: list[Clock], sigmas: float) -> list[float]:
    """Cautious times, one a request: so many standard deviations after the expected ones.

    Each worker that gets free takes the next in the queue, with those behind it that make a batch with it.

    Args:
        waiting: in the order in which they are served.
        clocks: one a worker; used up.
        sigmas: standard deviations.
    """
    heapify(clocks)
    times: list[float] = []
    start, total = 0, len(waiting)
    while start < total:
        point = waiting[start].allowed[0]
        count = 1
        if (limit := len(point.typical_s)) > 1 and not waiting[start].alone:
            limit = min(limit, total - start)
            while count < limit and _goes_with(waiting[start + count], point):
                count += 1
        free_s, variance_s2, pace = clocks[0]
        free_s += pace * point.typical_s[count - 1]
        variance_s2 += pace * pace * point.variance_s2[count - 1]
        heapreplace(clocks, (free_s, variance_s2, pace))
        finish_s = free_s + sigmas * sqrt(variance_s2)
        if count == 1:
            times.append(finish_s)
        else:
            times.extend([finish_s] * count)
        start += count
    return times


def count_misses(waiting: Sequence[Request], times: Sequence[float]) -> int:
    """How many of them are after their deadlines."""
    missed = 0
    for request, time in zip(waiting, times, strict=True):
        if time > request.deadline_s:
            missed += 1
    return missed


def _goes_with(request: Request, point: Point) -> bool:
    return request.allowed[0] is point and not request.alone
