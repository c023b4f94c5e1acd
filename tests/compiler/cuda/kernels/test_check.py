"""The operators' CPU versions against FP64 and INT64; on a GPU the same checks judge the kernels."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

from mixdq.compiler.cuda.kernels import exact
from mixdq.compiler.cuda.kernels.check import app, odd_checks
from mixdq.compiler.cuda.kernels.shapes import Convolution, Linear, unet_shapes
from mixdq.compiler.cuda.kernels.verdicts import Check, Draw, check_linear
from mixdq.configs.errors import EvaluationError

DRAW = Draw(torch.device("cpu"))
ALL_WEIGHTS, OF_EMBEDDINGS_AND_ENDS = 2_565_880_320, 24_926_720


@pytest.mark.parametrize("check", [*odd_checks()])
def test_an_operator_agrees_with_fp64(check: Check) -> None:
    verdict = check(DRAW)
    assert verdict.right, verdict


def test_a_wrong_zero_point_is_noticed() -> None:
    verdict = check_linear(DRAW, Linear(5, 6, 64), zero=1)
    assert verdict.right
    x, weight = DRAW.int8(5, 64), DRAW.int8(6, 64)
    assert not torch.equal(exact.product(x, weight), exact.product(x + 1, weight))


def test_sums_are_those_of_int64_at_the_largest_values() -> None:
    x = torch.full((2, 11520), -128, dtype=torch.int8)
    weight = torch.full((3, 11520), -128, dtype=torch.int8)
    weight[1, 0] = 127
    sums = exact.product(x, weight)
    assert torch.equal(sums.long(), x.long() @ weight.long().T)
    assert int(sums[0, 0]) == 128 * 128 * 11520


def test_the_border_is_the_zero_point_even_where_int8_would_overflow() -> None:
    x = torch.full((1, 1, 1, 1), -128, dtype=torch.int8)
    bordered = exact.padded(x, 1, torch.tensor([127], dtype=torch.int32))
    assert bordered[0, :, :, 0].tolist() == [[127, 127, 127], [127, -128, 127], [127, 127, 127]]


def test_values_halfway_round_to_even_and_saturate() -> None:
    scale, zero = torch.tensor([0.5]), torch.tensor([10], dtype=torch.int32)
    values = torch.tensor([0.25, 0.75, -0.25, -0.75, 1000.0, -1000.0])
    assert exact.quantized(values, scale, zero).tolist() == [10, 12, 10, 8, 127, -128]


def test_the_shapes_hold_the_weights_of_the_unet() -> None:
    weights = 0
    for entry in unet_shapes(512):
        assert isinstance(entry.work, Linear | Convolution)
        taps = getattr(entry.work, "taps", 1)
        weights += entry.count * entry.work.n * entry.work.k * taps**2
    assert weights == ALL_WEIGHTS - OF_EMBEDDINGS_AND_ENDS


@pytest.mark.parametrize(("resolution", "expected"), [(512, 1.589), (768, 3.641), (1024, 6.761)])
def test_the_shapes_do_the_work_of_the_unet(resolution: int, expected: float) -> None:
    attention = {512: 0.06, 768: 0.26, 1024: 0.78}[resolution]
    tera = sum(2 * entry.count * entry.work.macs for entry in unet_shapes(resolution)) / 1e12
    assert tera == pytest.approx(expected - attention, abs=0.02)


def test_pixels_that_the_unet_cannot_halve_are_refused() -> None:
    with pytest.raises(EvaluationError, match="found 500"):
        unet_shapes(500)


def test_the_command_says_what_was_right() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0, result.output
    assert "0 wrong" in result.output.splitlines()[-1]
