"""One plan's engine beside full precision at one resolution: times, pictures, what they clip; in a child."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixdq.compiler.tune.cases import Array, Cases
from mixdq.compiler.tune.engines import EngineFile
from mixdq.compiler.tune.instrument import Instrument, InTurns, Runs
from mixdq.compiler.tune.paired import Paired
from mixdq.compiler.tune.trial import Outputs, Times
from mixdq.compiler.worker import Report
from mixdq.configs.errors import EvaluationError
from mixdq.configs.layers import LayerTable
from mixdq.configs.sqnr import psnr_db, sqnr_db


@dataclass(frozen=True, slots=True)
class MeasureOrder:
    """What to measure.

    Attributes:
        full: the UNet in full precision.
        candidate: the quantized UNet.
        decoder: the VAE decoder of both.
        cases: what to run them on; times are of the first batch.
        table: the model's layers.
        runs: how often.
        instrument: what runs engines.
    """

    full: EngineFile
    candidate: EngineFile
    decoder: EngineFile
    cases: Cases
    table: LayerTable
    runs: Runs
    instrument: Instrument


def measure(report: Report, order: MeasureOrder) -> tuple[Times, Outputs]:
    """Measures a candidate beside full precision.

    Raises:
        EvaluationError: full precision itself gives NaN or infinity, or no layer's time could be told.
        GraphError: the graph or an engine is refused.
        MachineError: memory ran out.
    """
    outputs = _outputs(report, order)
    first = order.cases.inputs[0]
    in_turns = order.instrument.in_turns(
        report, (order.full, order.candidate), first, order.table, order.runs
    )
    return _times(in_turns, order.table), outputs


def _times(found: InTurns, table: LayerTable) -> Times:
    full, candidate = found.kernels
    layers = {}
    for layer in table:
        ours = [run.layers.get(layer.name) for run in full]
        theirs = [run.layers.get(layer.name) for run in candidate]
        # A kernel that only some runs name is none to compare.
        if None not in ours and None not in theirs:
            layers[layer.name] = Paired.of(_known(ours), _known(theirs), len(table))
    if not layers:
        raise EvaluationError("the profiles name no layer, so that nothing can be returned by its time")
    rest = Paired.of([run.rest for run in full], [run.rest for run in candidate], 1)
    return Times(Paired.of(*found.whole, 1), layers, rest)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _outputs(report: Report, order: MeasureOrder) -> Outputs:
    from mixdq.compiler.tune.clipping import find_clipping

    report("pictures of full precision", 0, None)
    wanted, full_pictures = _pictures(order, order.full)
    if not _finite(wanted) or not _finite(full_pictures):
        raise EvaluationError(
            "full precision itself gives NaN or infinity on this target; use an FP16-safe VAE (--vae), and "
            "`mixdq-compile verify` to find where it begins"
        )
    report("pictures", 0, None)
    found, pictures = _pictures(order, order.candidate)
    report("clipping", 0, None)
    clipping = find_clipping(order.candidate.graph, order.table, order.cases.inputs)
    # A quantizer makes some integer of NaN, so that the outputs may not show it.
    finite = _finite(found) and _finite(pictures) and not clipping.broken
    return Outputs(
        finite=finite,
        broken=clipping.broken,
        psnr_db=_psnr_db(pictures, full_pictures) if finite else None,
        sqnr_db=float(np.mean([sqnr_db(f, w) for f, w in zip(found, wanted, strict=True)]))
        if finite
        else None,
        ends=_ends(pictures) if finite else 1.0,
        full_ends=_ends(full_pictures),
        clipped=clipping.clipped,
        uncounted=clipping.uncounted,
    )


def _pictures(order: MeasureOrder, unet: EngineFile) -> tuple[list[Array], list[Array]]:
    """The UNet's predictions, and what the decoder makes of them, about -1 to 1; a batch each."""
    predictions = order.instrument.outputs(unet, order.cases.inputs)
    latents = [
        {"latents": order.cases.latents(number, prediction)} for number, prediction in enumerate(predictions)
    ]
    return predictions, order.instrument.outputs(order.decoder, latents)


def _finite(batches: Sequence[Array]) -> bool:
    return all(bool(np.isfinite(batch).all()) for batch in batches)


def _psnr_db(found: Sequence[Array], wanted: Sequence[Array]) -> float:
    """Of pictures with values of 0 to 1, mean over them."""
    pairs = zip(np.concatenate(found), np.concatenate(wanted), strict=True)
    return float(np.mean([psnr_db(_levels(one), _levels(other), peak=1.0) for one, other in pairs]))


def _ends(batches: Sequence[Array]) -> float:
    """The share of values that are black or white: at the ends of the pictures' 256 levels."""
    levels = np.concatenate([np.round(_levels(batch) * 255).ravel() for batch in batches])
    return float(np.mean((levels == 0) | (levels == 255)))


def _levels(pictures: Array) -> Array:
    levels: Array = np.clip(pictures.astype(np.float64) / 2 + 0.5, 0, 1)
    return levels
