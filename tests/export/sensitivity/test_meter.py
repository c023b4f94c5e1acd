"""One layer quantized alone, at several widths at once."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mixdq.configs.errors import ModelError
from mixdq.configs.layers import Group, LayerName, LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.quantizer import activation_quantizers
from mixdq.configs.ranges import RangeTable
from mixdq.configs.sensitivity import Metric, Operand
from mixdq.configs.target import Dialect
from mixdq.export.fidelity import sqnr_db, whole_ssim, windowed_ssim
from mixdq.export.layers import quantizable
from mixdq.export.one_step import OneStep
from mixdq.export.sensitivity.meter import Meter, Question
from mixdq.export.simulate import SimulatedLayer, put_layer, simulated

QUESTION = Question({Operand.WEIGHT: (3, 8), Operand.ACTIVATION: (4,)}, True, False, Dialect.ORT)
TEXT = LayerName("mid_block.attentions.0.transformer_blocks.0.attn2.to_k")
SHORTCUT = LayerName("up_blocks.1.resnets.2.conv_shortcut")
QUALITY = LayerName("up_blocks.2.resnets.2.conv2")
CONTENT = LayerName("down_blocks.2.attentions.1.transformer_blocks.0.ff.net.2")


@pytest.fixture(scope="module")
def meter(run: OneStep, table: LayerTable, ranges: RangeTable) -> Meter:
    return Meter(run, table, ranges, QUESTION)


def _figures(run: OneStep) -> Mapping[Metric, float]:
    """The means over all prompts of the UNet as it is now."""
    found: dict[Metric, list[Tensor]] = {metric: [] for metric in Metric}
    for batch in run.batches:
        prediction = run.predict(batch)
        latents = run.latents(batch, prediction)
        images = run.images(latents)
        found[Metric.SQNR].append(sqnr_db(prediction, batch.prediction))
        found[Metric.X0_SQNR].append(sqnr_db(latents, batch.latents))
        found[Metric.SSIM].append(whole_ssim(images, batch.images))
        found[Metric.WINDOWED_SSIM].append(windowed_ssim(images, batch.images))
    return {metric: float(torch.cat(values).mean()) for metric, values in found.items()}


def _alone(table: LayerTable, name: LayerName, bits: int) -> PrecisionPlan:
    plan = uniform_plan(table, FP16, keep=(), protect=(), bos_aware=True, split_shortcuts=True)
    return replace(plan, layers={**plan.layers, name: Precision(bits, 16)})


@pytest.mark.parametrize("name", [TEXT, SHORTCUT, QUALITY, CONTENT])
def test_weights_side_by_side_are_what_a_plan_of_one_layer_gives(
    run: OneStep, table: LayerTable, ranges: RangeTable, meter: Meter, name: LayerName
) -> None:
    scores = meter.measure(table[name])
    for index, bits in enumerate((3, 8)):
        with simulated(run.unet, table, _alone(table, name, bits), ranges, Dialect.ORT):
            expected = _figures(run)
        for metric, values in scores[Operand.WEIGHT].items():
            # Kernels differ with the batch; at 90 dB and more their rounding shows.
            tolerance = 0.02 if metric.endswith("db") else 1e-5
            assert values[index] == pytest.approx(expected[metric], abs=tolerance)


@pytest.mark.parametrize("name", [TEXT, SHORTCUT, QUALITY])
def test_activations_keep_the_weights_and_halves_have_quantizers_of_their_own(
    run: OneStep, table: LayerTable, ranges: RangeTable, meter: Meter, name: LayerName
) -> None:
    layer = table[name]
    halves = ranges[name]
    assert len(halves) == (2 if name == SHORTCUT else 1)
    original = dict(quantizable(run.unet))[name]
    variant = SimulatedLayer(
        original,
        split=layer.split,
        bos_aware=name == TEXT,
        weight_bits=None,
        quantizers=activation_quantizers(halves, 4, Dialect.ORT),
        dialect=Dialect.ORT,
    )
    put_layer(run.unet, layer, variant)
    try:
        expected = _figures(run)
    finally:
        put_layer(run.unet, layer, original)
    found = meter.measure(layer)[Operand.ACTIVATION]
    assert found[Metric.SQNR][0] == pytest.approx(expected[Metric.SQNR], abs=0.02)
    assert found[Metric.X0_SQNR][0] == pytest.approx(expected[Metric.X0_SQNR], abs=0.02)


def test_pictures_are_decoded_for_content_layers_or_for_all(
    run: OneStep, table: LayerTable, ranges: RangeTable, meter: Meter
) -> None:
    unet_only = {Metric.SQNR, Metric.X0_SQNR}
    assert (table[CONTENT].group, table[QUALITY].group) == (Group.CONTENT, Group.QUALITY)
    assert set(meter.measure(table[CONTENT])[Operand.WEIGHT]) == set(Metric)
    assert set(meter.measure(table[QUALITY])[Operand.WEIGHT]) == unet_only
    every = Meter(run, table, ranges, replace(QUESTION, decode_all=True))
    assert set(every.measure(table[QUALITY])[Operand.WEIGHT]) == set(Metric)


def test_more_bits_are_more_likeness(table: LayerTable, meter: Meter) -> None:
    for values in meter.measure(table[CONTENT])[Operand.WEIGHT].values():
        assert values[0] < values[1]


def test_token_0_in_the_quantized_path_costs_the_text_projections_alone(
    run: OneStep, table: LayerTable, ranges: RangeTable, meter: Meter
) -> None:
    naive = Meter(run, table, ranges, replace(QUESTION, bos_aware=False))
    aware_text, naive_text = (each.measure(table[TEXT])[Operand.ACTIVATION] for each in (meter, naive))
    assert naive_text[Metric.SQNR][0] < aware_text[Metric.SQNR][0] - 3
    assert naive.measure(table[QUALITY]) == meter.measure(table[QUALITY])


def test_an_operand_may_be_left_out(
    run: OneStep, table: LayerTable, ranges: RangeTable, meter: Meter
) -> None:
    only = Meter(run, table, ranges, replace(QUESTION, widths={Operand.ACTIVATION: (4,)}))
    found = only.measure(table[QUALITY])
    assert list(found) == [Operand.ACTIVATION]
    both = meter.measure(table[QUALITY])[Operand.ACTIVATION]
    assert found[Operand.ACTIVATION][Metric.SQNR][0] == pytest.approx(both[Metric.SQNR][0], abs=0.02)


def test_the_same_layer_twice_is_the_same_bits(table: LayerTable, meter: Meter) -> None:
    assert meter.measure(table[CONTENT]) == meter.measure(table[CONTENT])


def test_the_unet_is_as_it_was_also_after_an_error(
    run: OneStep, table: LayerTable, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dict(run.unet.named_modules())

    def interrupted(*_: object) -> Tensor:
        raise KeyboardInterrupt

    monkeypatch.setattr(run.unet.get_submodule("conv_out"), "forward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        meter.measure(table[CONTENT])
    monkeypatch.undo()
    assert dict(run.unet.named_modules()) == before
    assert torch.equal(run.predict(run.batches[0]), run.batches[0].prediction)


def test_a_score_that_is_not_finite_names_the_layer(run: OneStep, table: LayerTable, meter: Meter) -> None:
    def overflow(_: nn.Module, __: object, output: Tensor) -> Tensor:
        return output * float("inf")

    hook = run.unet.get_submodule(QUALITY).register_forward_hook(overflow)
    try:
        with pytest.raises(
            ModelError, match=r"the sqnr_db of up_blocks\.2\.resnets\.2\.conv1, .* is not finite"
        ):
            meter.measure(_before(table, QUALITY))
    finally:
        hook.remove()


def _before(table: LayerTable, name: LayerName) -> LayerSpec:
    return table[LayerName(name.replace("conv2", "conv1"))]


def test_a_bos_row_that_changes_is_refused(run: OneStep, table: LayerTable, ranges: RangeTable) -> None:
    with pytest.raises(ModelError, match="changes with the prompt"):
        Meter(run, table, replace(ranges, bos_change=0.1), QUESTION)
