"""What TensorRT's engine inspector says of an engine's layers, compared with the plan."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixdq.compiler.lint.finding import EngineLayers, Finding
from mixdq.compiler.lint.subject import Planned, quantized_inputs
from mixdq.compiler.worker import Report
from mixdq.configs.errors import TargetError
from mixdq.configs.target import Target
from mixdq.configs.tensorrt_product import MODULES, error_log, reasons

RULE = "engine-not-quantized"
_TODO = "look at what stands around the layer in the engine; keep it in FP16 if INT8 can't be had there"
_NARROW = re.compile(r"int8|int4|fp8", re.IGNORECASE)


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
            engine, target, False, f"layers not read: the inspector's answer has no layers ({error})"
        )
    detailed = [layer for layer in layers if isinstance(layer, dict)]
    if not detailed:
        said = f"{len(layers)} layers, named alone: built without detailed layer information"
        return EngineLayers(engine, target, True, said)
    found, wanted = tuple(_findings(detailed, planned)), len(list(quantized_inputs(planned)))
    said = f"{len(layers)} layers; {len(found)} of {wanted} planned to be quantized take floating point"
    return EngineLayers(engine, target, True, said, found)


def _findings(layers: Sequence[Mapping[str, Any]], planned: Planned) -> Iterator[Finding]:
    holding: dict[str, list[int]] = {}
    for index, layer in enumerate(layers):
        for word in re.findall(r"[\w./]+", f"{layer.get('Name', '')} {layer.get('Metadata', '')}"):
            holding.setdefault(word, []).append(index)
    for name in quantized_inputs(planned):
        own = [layers[index] for index in holding.get(name, ())]
        inside = set(holding.get(f"{name}.input.quantized", ())) & set(holding.get(name, ()))
        if own and not inside and not any(_takes_integers(layer) for layer in own):
            kinds = ", ".join(sorted({str(layer.get("LayerType", "layer")) for layer in own}))
            yield Finding(RULE, name, f"the engine's {kinds} for it takes floating point", _TODO)


def _takes_integers(layer: Mapping[str, Any]) -> bool:
    tensors = [tensor for tensor in layer.get("Inputs", ()) if isinstance(tensor, dict)]
    return any(_NARROW.search(str(tensor.get("Format/Datatype", ""))) for tensor in tensors)
