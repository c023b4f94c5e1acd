"""What torch says: full precision, each plan's simulation, and how far apart its own kernels are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixdq.compiler.unet_run import UnetInputs, UnetOutputs, find_unet_inputs
from mixdq.compiler.worker import Report
from mixdq.configs.target import Dialect
from mixdq.eval.compare.subject import Subject
from mixdq.eval.compare.tolerance import Bounds, bounds, ratio_db


@dataclass(frozen=True, slots=True)
class Reference:
    """What runs of a UNet are compared with, by module path; the UNet's own output by the empty name.

    Attributes:
        inputs: what every run is fed: representable in FP16, so that all graphs take the same values.
        full: full precision.
        full_bounds: what full precision in another kernel set must keep.
        simulated: the plan's simulation of each dialect, with FP32 kernels.
        bounds: what a run of a dialect's graph must keep.
    """

    inputs: UnetInputs
    full: UnetOutputs
    full_bounds: Mapping[str, Bounds]
    simulated: Mapping[Dialect, UnetOutputs]
    bounds: Mapping[Dialect, Mapping[str, Bounds]]


def prepare_inputs(report: Report, subject: Subject, prompt: str, seed: int) -> UnetInputs:
    """Text embeddings of a prompt and noise, rounded to FP16; in FP32."""
    inputs = find_unet_inputs(report, subject.source, prompt, seed, subject.resolution, subject.bundle.batch)
    return {name: array.astype(np.float16).astype(np.float32) for name, array in inputs.items()}


def measure_reference(
    report: Report,
    subject: Subject,
    dialects: Sequence[Dialect],
    blocks: Sequence[str],
    prompt: str,
    seed: int,
) -> Reference:
    """Runs torch with FP32 and with FP16 kernels: full precision, and a quantized plan in each dialect.

    Every layer reads its weights when it runs; what is held are the blocks' outputs of two runs at a time and
    of those that are returned.

    Args:
        report: told what is done.
        subject: the bundle.
        dialects: of the bundle's graphs.
        blocks: module paths whose outputs are wanted.
        prompt: what to draw.
        seed: of the noise.
    """
    inputs = prepare_inputs(report, subject, prompt, seed)
    import torch

    from mixdq.eval.compare.planned_unet import run_unet

    source = subject.source

    report("full precision in torch", 0, None)
    full = run_unet(source, inputs, planned=None, dtype=torch.float32, blocks=blocks)
    halved = run_unet(source, inputs, planned=None, dtype=torch.float16, blocks=blocks)
    float_db = _ratios(halved, full)
    simulated: dict[Dialect, UnetOutputs] = {}
    kept: dict[Dialect, Mapping[str, Bounds]] = {}
    for dialect in dialects:
        report(f"simulating {dialect}", 0, None)
        run, spread_db = full, float_db
        if subject.quantizes:
            planned = subject.planned(dialect)
            run = run_unet(source, inputs, planned=planned, dtype=torch.float32, blocks=blocks)
            halved = run_unet(source, inputs, planned=planned, dtype=torch.float16, blocks=blocks)
            spread_db = _ratios(halved, run)
        own_db, simulated[dialect] = _ratios(run, full), run
        kept[dialect] = {
            name: bounds(
                own_db=own_db[name],
                float_db=float_db[name] if dialect is Dialect.TENSORRT else None,
                spread_db=spread_db[name],
            )
            for name in full
        }
    full_bounds = {name: bounds(own_db=None, float_db=None, spread_db=float_db[name]) for name in full}
    return Reference(inputs, full, full_bounds, simulated, kept)


def _ratios(outputs: UnetOutputs, expected: UnetOutputs) -> dict[str, float]:
    return {name: ratio_db(name, outputs[name], array) for name, array in expected.items()}
