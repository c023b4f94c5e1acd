"""What a back end is to the pipeline: named arrays in, named arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mixdq.configs.bundle import EngineRecord, TensorSpec

Array = npt.NDArray[Any]


class Engine(Protocol):
    """One network, loaded and ready; `run` may be called from several threads."""

    @property
    def record(self) -> EngineRecord:
        """The engine's entry in the bundle: its inputs' and outputs' names, types and shapes.

        Every size is known: where one file serves several resolutions, those of this one.
        """
        ...

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Executes the network once.

        Args:
            inputs: every input by its name, of exactly the shape and type in `record.inputs`.

        Returns:
            Every output by its name, in arrays that nobody else uses; FP32 may stand for a smaller type.
        """
        ...


class Network(Protocol):
    """One engine file, loaded; whoever opened it closes it."""

    def engine(self, record: EngineRecord, profile: int) -> Engine:
        """The network at one resolution.

        Args:
            record: its entry in the bundle, every size known.
            profile: position of the resolution in the bundle's; where a file has an optimization profile for
                each resolution, the one to use.

        Raises:
            BundleError: the file has no such resolution.
            MachineError: memory ran out.
        """
        ...

    def close(self) -> None:
        """Gives the memory back; its engines must not be run any more."""
        ...


class Opener(Protocol):
    """A back end: opens engine files on one device."""

    def check(self, record: EngineRecord) -> None:
        """Refuses an engine that can't run here, before its file is read.

        Raises:
            TargetError: it was built for other hardware.
            BundleError: it was built by another version.
        """
        ...

    def open(self, record: EngineRecord, path: Path, weights: tuple[Path, ...]) -> Network:
        """Loads an engine whose files were checked.

        Args:
            record: its entry in the bundle.
            path: its file.
            weights: the files of `record.weights`, in that order.

        Raises:
            BundleError: it can't be loaded.
            MachineError: memory ran out.
        """
        ...

    def close(self) -> None:
        """Gives back what the networks shared; they must be closed before."""
        ...


def run_padded(engine: Engine, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Runs an engine on at most as many images as it makes at once.

    Inputs are cast to the engine's types, and padded along their first axis with copies of the last row;
    the outputs of the padding are dropped. Scalars are passed as they are.

    Args:
        engine: any engine.
        inputs: arrays of shape `[n, …]` with one n, or scalars.

    Returns:
        The outputs as arrays of shape `[n, …]`: FP32 where they are floating point, else of their own type.
    """
    count = max(value.shape[0] for value in inputs.values() if value.ndim)
    fed = {spec.name: _fit(inputs[spec.name], spec) for spec in engine.record.inputs}
    return {name: _plain(value[:count]) for name, value in engine.run(fed).items()}


def _plain(value: Array) -> Array:
    return value.astype(np.float32, copy=False) if np.issubdtype(value.dtype, np.floating) else value


def _fit(value: Array, spec: TensorSpec) -> Array:
    cast = value.astype(spec.dtype, copy=False)
    if not spec.shape or cast.shape[0] == spec.shape[0]:
        return cast
    last = np.repeat(cast[-1:], spec.shape[0] - cast.shape[0], axis=0)
    return np.concatenate([cast, last])
