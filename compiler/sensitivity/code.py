"""The code that decides the figures: what another version of it found is not gone on with."""

from __future__ import annotations

_SIMULATION = (
    "mixdq.configs.clipping",
    "mixdq.configs.form",
    "mixdq.configs.form_quantizer",
    "mixdq.configs.quantizer",
    "mixdq.configs.quantizing",
    "mixdq.configs.realized",
    "mixdq.configs.sqnr",
    "mixdq.export.fidelity",
    "mixdq.export.one_step",
    "mixdq.export.one_step_size",
    "mixdq.export.reference",
    "mixdq.export.repeatable",
    "mixdq.export.simulate",
)
"""Quantizing in torch, making pictures of it, and comparing them with full precision's."""

MEASURING_CODE = (*_SIMULATION, "mixdq.export.sensitivity")
"""Of a layer's scores."""

JUDGING_CODE = (*_SIMULATION, "mixdq.export.judge")
"""Of a plan's figures."""
