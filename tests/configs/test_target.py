from __future__ import annotations

import pytest

from mixdq.configs.capability import capabilities_of, shipped_capabilities
from mixdq.configs.errors import TargetError
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.plan import uniform_plan
from mixdq.configs.precision import FP8, FP16, Precision
from mixdq.configs.target import Backend, Dialect, Target

ALL = ["cpu", "tensorrt", "rtx:sm75", "rtx:sm80", "rtx:sm86", "rtx:sm89", "rtx:sm120", "rtx:sm121"]


@pytest.mark.parametrize("text", ALL)
def test_every_target_prints_as_it_parses(text: str) -> None:
    assert str(Target.parse(text)) == text


def test_the_parts_of_a_target() -> None:
    assert Target.parse("rtx:sm89") == Target(Backend.RTX, 89)
    assert Target.parse("cpu") == Target(Backend.CPU)


@pytest.mark.parametrize(("text", "slug"), [("rtx:sm120", "rtx-sm120"), ("cpu", "cpu")])
def test_a_slug_is_fit_for_a_file_name(text: str, slug: str) -> None:
    assert Target.parse(text).slug == slug


@pytest.mark.parametrize("backend", ["cpu", "rtx", "tensorrt"])
def test_every_target_that_the_tables_know_parses_or_says_why_nothing_is_built_for_it(backend: str) -> None:
    (table,) = (table for table in shipped_capabilities() if table.backend == backend)
    for known in map(str, capabilities_of(table)):
        if backend == Backend.TENSORRT:
            with pytest.raises(TargetError, match=f"nothing is built for {known} elsewhere; use tensorrt on"):
                Target.parse(known)
        else:
            assert str(Target.parse(known)) == known


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rtx:sm90", "the nearest is rtx:sm89 "),
        ("rtx:sm890", "the nearest is rtx:sm121 "),
        ("rtx:8.7", "the nearest is rtx:sm86 "),
        ("rtx", "needs a compute capability, and none was said; write one of rtx:sm75, "),
        ("rtx:", "needs a compute capability, and none was said; write one of rtx:sm75, "),
        ("tensorrt:sm103", "the nearest is tensorrt:sm100 "),
        ("cuda:sm75", "the nearest is cuda:sm80 "),
        ("cpu:sm89", "cpu has no compute capabilities; write cpu"),
    ],
)
def test_an_unknown_compute_capability_is_refused_with_the_nearest(text: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        Target.parse(text)


@pytest.mark.parametrize("text", ["", "gpu", "CPU", " cpu", "tpu:sm89"])
def test_an_unknown_target_is_refused_with_those_that_there_are(text: str) -> None:
    with pytest.raises(TargetError) as refused:
        Target.parse(text)
    assert str(refused.value).startswith(f"unknown target {text!r}; use one of: {', '.join(ALL)}")


def test_onnx_runtime_reads_asymmetric_fp32_and_tensorrt_symmetric_fp16() -> None:
    assert {text: Target.parse(text).dialect for text in ("cpu", "tensorrt", "rtx:sm89")} == {
        "cpu": Dialect.ORT,
        "tensorrt": Dialect.TENSORRT,
        "rtx:sm89": Dialect.TENSORRT,
    }
    assert (Dialect.ORT.symmetric, Dialect.ORT.float_type) == (False, "float32")
    assert (Dialect.TENSORRT.symmetric, Dialect.TENSORRT.float_type) == (True, "float16")


@pytest.mark.parametrize("text", ALL)
def test_eight_bit_or_floating_activations_are_held_with_weights_of_any_width(text: str) -> None:
    target = Target.parse(text)
    for weight_bits in range(2, 9):
        for activation_bits in (8, 16):
            assert target.holds(Precision(weight_bits, activation_bits))
        for activation_bits in range(2, 8):
            assert not target.holds(Precision(weight_bits, activation_bits))
    assert target.holds(FP16)
    assert not target.holds(FP8)


def test_a_plan_that_a_target_holds_passes(table: LayerTable) -> None:
    plan = uniform_plan(
        table,
        Precision(4, 8),
        keep=(LayerName("conv_in"),),
        protect=(),
        bos_aware=True,
        split_shortcuts=True,
    )
    for text in ALL:
        Target.parse(text).check(plan)


@pytest.mark.parametrize("precision", [Precision(8, 4), FP8])
def test_a_precision_that_a_target_can_not_hold_is_refused_by_the_layers_name(
    table: LayerTable, precision: Precision
) -> None:
    plan = uniform_plan(
        table,
        precision,
        keep=(LayerName("conv_in"),),
        protect=(),
        bos_aware=True,
        split_shortcuts=True,
    )
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    with pytest.raises(
        TargetError, match=rf"^rtx:sm89 can't hold {precision} of {layer} \(of 4 layers\): it holds"
    ) as refused:
        Target.parse("rtx:sm89").check(plan)
    assert "choose --activation-bits 8 or 16" in str(refused.value)
