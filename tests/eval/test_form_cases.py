from __future__ import annotations

from pathlib import Path

import pytest

from mixdq.compiler.search.journal import Conditions
from mixdq.configs.form import Granularity
from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.quantizing import Activations, Clipping
from mixdq.configs.target import Target
from mixdq.eval.cli import app
from mixdq.eval.form_cases import FormCase, form_cases
from mixdq.eval.form_report import FormReport, JudgedForm
from mixdq.export.judgement import Fidelity

_FF = LayerName("down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2")
_SMALL = LayerName("time_embedding.linear_1")
_CONV, _OUT = LayerName("conv_in"), LayerName("conv_out")


@pytest.fixture(scope="module")
def cases() -> tuple[FormCase, ...]:
    def layer(name: LayerName, *shape: int) -> LayerSpec:
        kind = Kind.LINEAR if len(shape) == 2 else Kind.CONVOLUTION
        return LayerSpec(name, kind, shape, True, None, {64: 1})

    layers = (
        layer(_CONV, 64, 128, 3, 3),
        layer(_FF, 64, 256),
        layer(_SMALL, 64, 96),
        layer(_OUT, 4, 64, 3, 3),
    )
    table = LayerTable(ModelIdentity("four", "4" * 64), layers)
    return form_cases(table, (_OUT,), Target.parse("rtx:sm89"))


def _case(cases: tuple[FormCase, ...], precision: str, what: str) -> FormCase:
    return next(case for case in cases if (case.precision, case.what) == (precision, what))


def test_every_case_is_another_plan_and_has_a_name_of_its_own(cases: tuple[FormCase, ...]) -> None:
    assert len({case.plan.digest for case in cases}) == len(cases)
    assert len({(case.precision, case.what) for case in cases}) == len(cases)
    assert {case.plan.activations for case in cases} == set(Activations)
    assert {case.plan.weight_clipping for case in cases} == set(Clipping)
    assert not any(case.plan[_OUT].quantizes_activation for case in cases)


def test_blocks_are_of_linear_layers_that_they_divide(cases: tuple[FormCase, ...]) -> None:
    for block, small in ((128, Granularity.CHANNEL), (32, Granularity.BLOCK_32)):
        plan = _case(cases, "W4A16, convolutions W8A16", f"blocks of {block}, mse").plan
        assert plan.realization is not None
        forms = plan.realization.forms
        assert forms[_FF].granularity.block == block
        assert forms[_SMALL].granularity is small
        assert str(forms[_CONV]) == "int8:channel/float"


def test_packed_weights_take_half_the_bytes_and_scales_two_each(cases: tuple[FormCase, ...]) -> None:
    weights, channels = 64 * 128 * 9 + 64 * 256 + 64 * 96 + 4 * 64 * 9, 64 * 3 + 4
    assert _case(cases, "W8A8", "centered").weight_bytes == weights + 2 * channels
    assert _case(cases, "W4A16", "a scale a channel, mse").weight_bytes == weights // 2 + 2 * channels
    assert _case(cases, "FP8", "a scale a tensor").weight_bytes == weights + 2 * (3 + 4)


def test_the_table_has_a_line_a_form(cases: tuple[FormCase, ...], tmp_path: Path) -> None:
    figures = Fidelity(38.066, 40.0, 31.9, 0.99204, 0.975)
    conditions = Conditions(
        "m", "l", "r", 32, "p", 0, 128, Target.parse("tensorrt").dialect, "cpu", 2, 8, "t", "c"
    )
    forms = tuple(JudgedForm(c.precision, c.what, c.plan.digest, c.weight_bytes, figures) for c in cases)
    report = FormReport("four", "rtx:sm89", conditions, forms)
    report.write_table(tmp_path / "forms.md")
    lines = (tmp_path / "forms.md").read_text().splitlines()
    assert lines[0] == "|  | form | weights MB | SQNR dB | PSNR dB | SSIM | windowed SSIM |"
    assert lines[4] == "| W8A8 | centered | 0.10 | 38.07 | 31.90 | 0.9920 | 0.9750 |"
    assert len(lines) == 2 + len(cases)


def test_forms_of_a_target_with_zero_points_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from mixdq.configs.console import run_app

    with pytest.raises(SystemExit) as ended:
        run_app(app, ["forms", "emoji-turbo", "--target", "cpu"])
    assert ended.value.code == 2
    assert "give --target tensorrt or rtx:sm89" in capsys.readouterr().err
