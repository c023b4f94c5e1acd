"""A bundle's engines, each opened when it is first needed and checked before that."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from mixdq.configs.bundle import Bundle, Component, EngineRecord, FileRecord
from mixdq.configs.errors import BundleError, TargetError
from mixdq.configs.target import Backend, Target
from mixdq.runtime.engine import Engine
from mixdq.runtime.onnx_engine import OnnxEngine

_UNET_INPUTS = frozenset({"sample", "timestep", "encoder_hidden_states", "text_embeds", "time_ids"})
_TENSORS = {
    Component.TEXT_ENCODER: ({"input_ids"}, {"hidden_states"}),
    Component.TEXT_ENCODER_2: ({"input_ids"}, {"hidden_states", "pooled"}),
    Component.UNET: (_UNET_INPUTS, {"noise_prediction"}),
    Component.VAE_DECODER: ({"latents"}, {"images"}),
}


class EngineStore:
    """Opens engines of one target; several threads may ask at the same time."""

    def __init__(self, bundle: Bundle, root: Path, target: Target, threads: int | None) -> None:
        """Keeps what is needed to open engines; opens none.

        Raises:
            TargetError: engines of this target can't be executed here.
        """
        if target.backend is not Backend.CPU:
            raise TargetError(
                f"this mixdq executes engines for cpu (ONNX Runtime) only: {target} engines are built for "
                f"an NVIDIA GPU with TensorRT, which the {target.backend} extra installs, and the runtime "
                "can't execute them yet; load the bundle with target='cpu'"
            )
        self._bundle, self._root, self._target, self._threads = bundle, root, target, threads
        self._open: dict[EngineRecord, Engine] = {}
        self._checked: dict[FileRecord, Path] = {}
        self._lock = Lock()

    def __call__(self, component: Component, resolution: int) -> Engine:
        """The engine of a component at a resolution.

        Raises:
            BundleError: the bundle has none, a file is missing, or it can't be loaded.
            DigestError: a file is not the one that was built.
        """
        record = self._bundle.find(component, str(self._target), resolution)
        with self._lock:
            if record not in self._open:
                self._open[record] = self._load(record)
            return self._open[record]

    def check(self, file: FileRecord) -> Path:
        """A file's path; its digest is computed once."""
        if file not in self._checked:
            self._checked[file] = file.check(self._root)
        return self._checked[file]

    def _load(self, record: EngineRecord) -> Engine:
        found = ({spec.name for spec in record.inputs}, {spec.name for spec in record.outputs})
        if found != _TENSORS[record.component]:
            raise BundleError(
                f"the {record.component} engine {record.file.path} takes and gives {found}, expected "
                f"{_TENSORS[record.component]}; build the bundle again with this mixdq"
            )
        for file in record.weights:
            self.check(file)
        return OnnxEngine(record, self.check(record.file), self._threads)
