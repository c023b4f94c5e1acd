"""A bundle's engines, each opened when it is first needed and checked before that."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import Self

from mixdq.configs.bundle import Bundle, Component, EngineRecord, FileRecord
from mixdq.configs.errors import BundleError, RequestError
from mixdq.configs.target import Target
from mixdq.runtime.engine import Engine, Network, Opener
from mixdq.runtime.images import FINITE, IMAGES, gives_pixels
from mixdq.runtime.sizes import at_resolution

_UNET_INPUTS = frozenset({"sample", "timestep", "encoder_hidden_states", "text_embeds", "time_ids"})
_TENSORS = {
    Component.TEXT_ENCODER: ({"input_ids"}, {"hidden_states"}),
    Component.TEXT_ENCODER_2: ({"input_ids"}, {"hidden_states", "pooled"}),
    Component.UNET: (_UNET_INPUTS, {"noise_prediction"}),
    Component.VAE_DECODER: ({"latents"}, {IMAGES}),
}


class EngineStore:
    """Opens engines of one target; several threads may ask at the same time. A context manager."""

    def __init__(self, bundle: Bundle, root: Path, target: Target, opener: Opener) -> None:
        """Keeps what is needed to open engines, and closes it; opens none.

        Args:
            bundle: what was built.
            root: its folder.
            target: whose engines to open.
            opener: the back end that executes them.
        """
        self._bundle, self._root, self._target, self._opener = bundle, root, target, opener
        self._networks: dict[EngineRecord, Network] = {}
        self._engines: dict[EngineRecord, Engine] = {}
        self._checked: dict[FileRecord, Path] = {}
        self._closed = False
        self._lock = Lock()

    def __call__(self, component: Component, resolution: int) -> Engine:
        """The engine of a component at a resolution.

        Raises:
            BundleError: the bundle has none, a file is missing, or it can't be loaded.
            DigestError: a file is not the one that was built.
            TargetError: it was built for other hardware.
            MachineError: memory ran out.
            RequestError: the store was closed.
        """
        record = self._bundle.find(component, str(self._target), resolution)
        fixed = at_resolution(record, resolution, self._bundle.pipeline.downsampling)
        with self._lock:
            if self._closed:
                raise RequestError("the pipeline was closed; load the bundle again")
            if fixed not in self._engines:
                profile = self._bundle.resolutions.index(resolution)
                self._engines[fixed] = self._network(record).engine(fixed, profile)
            return self._engines[fixed]

    def check(self, file: FileRecord) -> Path:
        """A file's path; its digest is computed once."""
        if file not in self._checked:
            self._checked[file] = file.check(self._root)
        return self._checked[file]

    def close(self) -> None:
        """Gives back all memory of the engines, which must not be running; a second call does nothing."""
        with self._lock, ExitStack() as closing:
            if not self._closed:
                self._closed = True
                # One that fails leaves none of the others open.
                closing.callback(self._opener.close)
                for network in self._networks.values():
                    closing.callback(network.close)
                self._networks.clear()
                self._engines.clear()

    def _network(self, record: EngineRecord) -> Network:
        if record not in self._networks:
            found = ({spec.name for spec in record.inputs}, {spec.name for spec in record.outputs})
            expected = _tensors(record)
            if found != expected:
                raise BundleError(
                    f"the {record.component} engine {record.file.path} takes and gives {found}, expected "
                    f"{expected}; build the bundle again with this mixdq"
                )
            self._opener.check(record)
            weights = tuple(self.check(file) for file in record.weights)
            self._networks[record] = self._opener.open(record, self.check(record.file), weights)
        return self._networks[record]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _tensors(record: EngineRecord) -> tuple[set[str], set[str]]:
    inputs, outputs = _TENSORS[record.component]
    return set(inputs), outputs | {FINITE} if gives_pixels(record) else set(outputs)
