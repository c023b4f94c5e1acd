"""The shapes of an engine that serves several resolutions, at one of them."""

from __future__ import annotations

from dataclasses import replace

from mixdq.configs.bundle import SYMBOLIC, Component, EngineRecord, TensorSpec


def is_dynamic(record: EngineRecord) -> bool:
    """Whether an engine's tensors have sizes that change with the resolution."""
    return any(SYMBOLIC in spec.shape for spec in (*record.inputs, *record.outputs))


def at_resolution(record: EngineRecord, resolution: int, downsampling: int) -> EngineRecord:
    """The record with every size known.

    Height and width are all that is symbolic: pixels for the VAE's images, latent pixels elsewhere.

    Args:
        record: an engine's entry in the bundle; one without symbolic sizes is returned as it is.
        resolution: pixels of each side.
        downsampling: pixels per latent pixel along one side.
    """
    if not is_dynamic(record):
        return record
    side = resolution // downsampling
    output = resolution if record.component is Component.VAE_DECODER else side
    return replace(
        record,
        resolution=resolution,
        inputs=tuple(_fixed(spec, side) for spec in record.inputs),
        outputs=tuple(_fixed(spec, output) for spec in record.outputs),
    )


def _fixed(spec: TensorSpec, side: int) -> TensorSpec:
    return replace(spec, shape=tuple(side if size == SYMBOLIC else size for size in spec.shape))
