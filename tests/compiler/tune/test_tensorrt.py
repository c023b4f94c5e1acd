"""TensorRT's part: what can be checked without a GPU."""

from __future__ import annotations

import inspect
import re

import pytest
from onnx.parser import parse_model

from mixdq.compiler.tune.hardware import require_hardware
from mixdq.compiler.tune.instruments import instrument_of
from mixdq.compiler.tune.ort_instrument import OrtInstrument
from mixdq.compiler.tune.tensorrt_owners import TensorRtOwners
from mixdq.configs.errors import RequestError, TargetError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.layers import LayerName
from mixdq.configs.target import Target

A, B, C = LayerName("blocks.0.a"), LayerName("blocks.0.b"), LayerName("blocks.1.conv")
NAMES = (
    *("blocks.0.a.input.quantized", "blocks.0.a.input.dequantized", "blocks.0.a", "blocks.0.b"),
    *("blocks.1.conv", "act", "softmax"),
)
GRAPH = """<ir_version: 10, opset_import: ["" : 20]>
g (float[1,4] x, float[1,1,4,4] picture) => (float[1,4] y, float[1,4] z, float[1,1,4,4] c)
<float s = {0.1}, uint8 o = {0}, float[4,4] "blocks.0.a.weight" = {1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1},
 float[4,4] "blocks.0.b.weight" = {1,0,0,0,0,1,0,0,0,0,1,0,0,0,0,1},
 float[1,1,1,1] "blocks.1.conv.weight" = {2.0}>
{
    q = QuantizeLinear (x, s, o)
    d = DequantizeLinear (q, s, o)
    a = MatMul (d, "blocks.0.a.weight")
    z = MatMul (d, "blocks.0.b.weight")
    wide = Conv (picture, "blocks.1.conv.weight")
    c = Sigmoid (wide)
    y = Softmax (a)
}"""


@pytest.fixture
def owners() -> TensorRtOwners:
    graph = parse_model(GRAPH).graph
    for node, name in zip(graph.node, NAMES, strict=True):
        node.name = name
    information = {
        "Layers": [
            {"Name": "__myl_Fc_myl0_3", "Metadata": "[ONNX Layer: blocks.0.a]\x1e[ONNX Layer: blocks.0.b]"},
            "named_alone",
        ]
    }
    return TensorRtOwners(graph, [A, B, C], information)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("blocks.1.conv + PWN(act)", (C,)),
        ("Reformatting CopyNode for Input Tensor 0 to blocks.1.conv", (C,)),
        ("__myl_Fc_myl0_3", (A, B)),
        ("blocks.0.a.input.quantized", (A, B)),
        # A fused layer that also quantizes for the next ones is the one that it computes.
        ("blocks.1.conv + PWN(act) + blocks.0.a.input.quantized", (C,)),
        ("softmax", ()),
        ("__myl_Unknown", ()),
        ("blocks.1.conv2", ()),
    ],
)
def test_a_layer_of_tensorrt_belongs_to_those_whose_nodes_it_holds(
    owners: TensorRtOwners, name: str, expected: tuple[LayerName, ...]
) -> None:
    assert owners(name) == expected


def test_a_run_is_divided_between_layers_and_rest(owners: TensorRtOwners) -> None:
    run = owners.run([("__myl_Fc_myl0_3", 8.0), ("blocks.0.a", 1.0), ("softmax", 2.0), ("act", 0.5)])
    assert run.layers == {A: 5.0, B: 4.0}
    assert run.rest == 2.5


@pytest.mark.parametrize("module", ["tensorrt_rtx", "tensorrt_lean"])
def test_every_name_of_tensorrt_that_is_used_exists(module: str) -> None:
    trt = pytest.importorskip(module)
    used = {
        "ICudaEngine": ("create_execution_context", "create_engine_inspector"),
        "IExecutionContext": ("set_tensor_address", "execute_async_v3", "profiler"),
        "Runtime": ("deserialize_cuda_engine",),
        "IProfiler": ("report_layer_time",),
        "EngineInspector": ("get_engine_information",),
        "LayerInformationFormat": ("JSON",),
    }
    missing = [
        f"{kind}.{name}"
        for kind, names in used.items()
        for name in names
        if not hasattr(getattr(trt, kind), name)
    ]
    assert not missing
    assert re.search(r"layer_name: str, ms:", trt.IProfiler.report_layer_time.__doc__)
    assert re.search(
        r"set_tensor_address\(self.*, name: str, memory:", trt.IExecutionContext.set_tensor_address.__doc__
    )


def test_every_name_of_cuda_that_is_used_exists() -> None:
    import mixdq.compiler.tune.device_run as device_run

    cuda = pytest.importorskip("cuda.bindings.runtime")
    used = set(re.findall(r"cuda\.(cuda\w+)", inspect.getsource(device_run)))
    assert {"cudaMalloc", "cudaGraphLaunch", "cudaEventElapsedTime"} <= used
    assert not [name for name in used if not hasattr(cuda, name)]


@pytest.mark.skipif(find_gpu() is not None, reason="the machine has a GPU")
@pytest.mark.parametrize(
    ("target", "needed"),
    [
        ("rtx:sm89", "an NVIDIA GPU of compute capability 8.9 and TensorRT for RTX"),
        ("tensorrt", "an NVIDIA GPU and TensorRT"),
    ],
)
def test_a_target_without_its_hardware_is_refused_by_what_it_needs(target: str, needed: str) -> None:
    with pytest.raises(TargetError, match=f"{target} needs {needed}, and this machine has none"):
        require_hardware(Target.parse(target))


def test_a_target_whose_engines_nothing_here_measures_is_refused() -> None:
    with pytest.raises(TargetError, match="cuda:sm90 makes none of these; give --target cpu"):
        require_hardware(Target.parse("cuda:sm90"))


def test_the_cpu_has_its_hardware() -> None:
    assert require_hardware(Target.parse("cpu")) == "cpu"
    assert instrument_of(Target.parse("cpu"), 2) == OrtInstrument(2)


@pytest.mark.parametrize(("target", "threads"), [("cpu", 0), ("rtx:sm89", 2)])
def test_threads_that_are_none_or_of_a_gpu_are_refused(target: str, threads: int) -> None:
    with pytest.raises(RequestError, match="--threads"):
        instrument_of(Target.parse(target), threads)
