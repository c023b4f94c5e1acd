"""What built engines say of their layers, where a machine can open them."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixdq.compiler.lint.finding import Finding
from mixdq.compiler.lint.subject import Planned
from mixdq.compiler.worker import Report, run_in_child
from mixdq.configs.bundle import Bundle, Component, EngineRecord
from mixdq.configs.errors import TargetError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.target import Backend, Target
from mixdq.configs.tensorrt_product import MODULES, PRODUCTS, error_log, reasons
from mixdq.passes.layers import part_names

RULE = "engine-not-quantized"
_TODO = "look at what stands around the layer in the engine; keep it in FP16 if INT8 can't be had there"
_NARROW = re.compile(r"int8|int4|fp8", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EngineLayers:
    """What is known of an engine's layers.

    Attributes:
        engine: the file, relative to the bundle's folder.
        target: what it was built for.
        read: whether its layers were read.
        said: what was read, or why nothing was.
        findings: planned layers that it computes in floating point.
    """

    engine: str
    target: str
    read: bool
    said: str
    findings: tuple[Finding, ...] = ()


def engine_layers(root: Path, bundle: Bundle, planned: Planned) -> tuple[EngineLayers, ...]:
    """Reads the layers of every engine that this machine can open; of the others it says why not.

    Raises:
        BundleError: an engine to be read is missing.
        DigestError: an engine to be read is not the one that was built.
    """
    return tuple(_of(root, engine, planned) for engine in bundle.engines)


def _of(root: Path, engine: EngineRecord, planned: Planned) -> EngineLayers:
    target, path = Target.parse(engine.target), engine.file.path
    if target.backend is Backend.CPU:
        return EngineLayers(path, engine.target, True, "the engine is the graph, which was read")
    if engine.component is not Component.UNET:
        return EngineLayers(path, engine.target, False, "not read: no plan covers this network")
    if (why := _why_not(target.backend)) is not None:
        return EngineLayers(path, engine.target, False, f"not read: {why}")
    try:
        information = run_in_child(inspect_engine, target, engine.file.check(root)).value
    except TargetError as error:
        return EngineLayers(path, engine.target, False, f"not read: {error}")
    return judge(path, engine.target, information, planned)


def _why_not(backend: Backend) -> str | None:
    if importlib.util.find_spec(MODULES[backend]) is None:
        return f"{PRODUCTS[backend]} is not installed; `pip install 'mixdq[{backend}]'`"
    if find_gpu() is None:
        return f"{PRODUCTS[backend]} opens an engine only on an NVIDIA GPU, and this machine shows none"
    return None


def inspect_engine(report: Report, target: Target, path: Path) -> str:
    """What TensorRT's engine inspector says of an engine, in JSON.

    Raises:
        TargetError: the engine doesn't open on this machine's GPU.
    """
    report("opening", 0, None)
    trt: Any = importlib.import_module(MODULES[target.backend])
    log = error_log(trt)
    engine = trt.Runtime(log).deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise TargetError(f"{path.name} does not open here: {reasons(log)}")
    return str(engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))


def judge(engine: str, target: str, information: str, planned: Planned) -> EngineLayers:
    """Compares the inspector's answer with the plan.

    A planned layer is computed in floating point if the engine's layers that name it take nothing but FP16 or
    FP32, and none of them holds the layer's QuantizeLinear too, which would quantize inside of it. An engine
    that was built without detailed information names its layers alone, which decides nothing.

    Args:
        engine: the engine's file.
        target: what it was built for.
        information: the inspector's JSON (`Layers`, each with `Name`, `Inputs` and `Metadata`).
        planned: the plan.
    """
    try:
        layers = json.loads(information)["Layers"]
    except (ValueError, KeyError, TypeError) as error:
        return EngineLayers(
            engine, target, False, f"not read: the inspector's answer has no layers ({error})"
        )
    detailed = [layer for layer in layers if isinstance(layer, dict)]
    if not detailed:
        said = f"{len(layers)} layers, named alone: built without detailed layer information"
        return EngineLayers(engine, target, True, said)
    found, wanted = tuple(_findings(detailed, planned)), len(list(_quantized_parts(planned)))
    said = f"{len(layers)} layers; {len(found)} of {wanted} planned to be quantized take floating point"
    return EngineLayers(engine, target, True, said, found)


def _findings(layers: Sequence[Mapping[str, Any]], planned: Planned) -> Iterator[Finding]:
    holding: dict[str, list[int]] = {}
    for index, layer in enumerate(layers):
        for word in re.findall(r"[\w./]+", f"{layer.get('Name', '')} {layer.get('Metadata', '')}"):
            holding.setdefault(word, []).append(index)
    for name in _quantized_parts(planned):
        own = [layers[index] for index in holding.get(name, ())]
        inside = set(holding.get(f"{name}.input.quantized", ())) & set(holding.get(name, ()))
        if own and not inside and not any(_takes_integers(layer) for layer in own):
            kinds = ", ".join(sorted({str(layer.get("LayerType", "layer")) for layer in own}))
            yield Finding(RULE, name, f"the engine's {kinds} for it takes floating point", _TODO)


def _quantized_parts(planned: Planned) -> Iterator[str]:
    for layer in planned.table:
        if planned.plan[layer.name].quantizes_activation:
            yield from part_names(layer, planned.plan)


def _takes_integers(layer: Mapping[str, Any]) -> bool:
    tensors = [tensor for tensor in layer.get("Inputs", ()) if isinstance(tensor, dict)]
    return any(_NARROW.search(str(tensor.get("Format/Datatype", ""))) for tensor in tensors)
