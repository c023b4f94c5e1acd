"""Patterns in which requests come: of the simulator and of the load test."""

from __future__ import annotations

from enum import StrEnum


class Arrivals(StrEnum):
    """Patterns of arrivals."""

    POISSON = "poisson"
    GAMMA = "gamma"
    MMPP = "mmpp"
    BURST = "burst"
    TRACE = "trace"
