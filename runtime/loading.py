"""From a bundle's folder to a pipeline."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from mixdq.configs.bundle import Bundle
from mixdq.configs.errors import TargetError
from mixdq.configs.target import Target
from mixdq.runtime.pipeline import Pipeline
from mixdq.runtime.store import EngineStore


def load(folder: str | PathLike[str], *, target: str = "cpu", threads: int | None = None) -> Pipeline:
    """Loads a bundle that `mixdq-compile run` made.

    Every file's SHA-256 is checked before it is used: the tokenizers' here, the engines' when the first
    picture of a resolution is made.

    Args:
        folder: the folder that holds `bundle.json`.
        target: which of the bundle's engines to execute; `cpu` is ONNX Runtime.
        threads: threads of one engine; None for one a physical core.

    Raises:
        BundleError: no bundle there, of another version, or incomplete.
        DigestError: a file was changed or damaged after it was built.
        TargetError: unknown, not executable here, or not in the bundle.
    """
    root = Path(folder).absolute()  # engines are opened later, perhaps from another working folder
    wanted = Target.parse(target)
    bundle = Bundle.read(root)
    engines = EngineStore(bundle, root, wanted, threads)
    built = {engine.target for engine in bundle.engines}
    if target not in built:
        raise TargetError(
            f"{root} was built for {', '.join(sorted(built))}, not for {target}; "
            f"add it with `mixdq-compile run MODEL --target {target} --out {root}`"
        )
    return Pipeline(bundle, engines)
