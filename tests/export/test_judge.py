"""Plans judged on emoji-turbo, against figures that NumPy and scikit-image work out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from mixdq.configs.errors import DigestError, PlanError
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.ranges import RangeTable
from mixdq.configs.sqnr import IDENTICAL_DB
from mixdq.configs.target import Dialect
from mixdq.export.calibrate import calibrate
from mixdq.export.judge import Judge
from mixdq.export.judgement import Measure
from mixdq.export.layers import list_layers
from mixdq.export.one_step import OneStep
from mixdq.export.simulate import simulated
from mixdq.export.source import SourceModel

PROMPTS = ("a red apple", "a sleepy cat", "a blue car")


@pytest.fixture(scope="module")
def table(emoji: SourceModel) -> LayerTable:
    return list_layers(emoji, (128,))


@pytest.fixture(scope="module")
def ranges(emoji: SourceModel, table: LayerTable) -> RangeTable:
    return calibrate(
        emoji, table, prompts=PROMPTS, seed=0, resolutions=(128,), steps=1, advance=lambda _: None
    )


@pytest.fixture(scope="module")
def run(emoji: SourceModel) -> OneStep:
    return OneStep(emoji, PROMPTS, seed=5, resolution=128, batch=2)


@pytest.fixture(scope="module")
def judge(run: OneStep, table: LayerTable, ranges: RangeTable) -> Judge:
    return Judge(run, table, ranges, Dialect.ORT)


def _plan(table: LayerTable, precision: Precision) -> PrecisionPlan:
    return uniform_plan(table, precision, keep=(), protect=(), bos_aware=True, split_shortcuts=True)


def test_a_plan_judged_twice_gets_the_same_figures(judge: Judge, table: LayerTable) -> None:
    plan = _plan(table, Precision(4, 8))
    first = judge.judge(plan)
    judge.judge(_plan(table, Precision(8, 16)))
    assert judge.judge(plan) == first


def test_full_precision_is_identical_to_itself(judge: Judge, table: LayerTable) -> None:
    found = judge.judge(_plan(table, FP16))
    assert (found.sqnr_db, found.x0_sqnr_db, found.psnr_db) == (IDENTICAL_DB,) * 3
    assert found.ssim == pytest.approx(1.0, abs=1e-9)
    assert found.windowed_ssim == pytest.approx(1.0, abs=1e-4)  # computed in FP32


def test_each_measure_prefers_more_bits(judge: Judge, table: LayerTable) -> None:
    found = [judge.judge(_plan(table, Precision(bits, 16))) for bits in (3, 5, 8)]
    for measure in Measure:
        assert all(fewer[measure] < more[measure] for fewer, more in pairwise(found))


def test_figures_are_means_over_all_prompts(
    judge: Judge, run: OneStep, table: LayerTable, ranges: RangeTable
) -> None:
    plan = _plan(table, Precision(5, 8))
    found = judge.judge(plan)
    sqnr, psnr = [], []
    for batch in run.batches:
        with simulated(run.unet, table, plan, ranges, Dialect.ORT):
            prediction = run.predict(batch)
        images = run.images(run.latents(batch, prediction))
        for number in range(len(batch)):
            expected = batch.prediction[number].double().numpy()
            noise = prediction[number].double().numpy() - expected
            sqnr.append(20 * np.log10(np.linalg.norm(expected) / np.linalg.norm(noise)))
            pictures = batch.images[number].double().numpy(), images[number].double().numpy()
            psnr.append(peak_signal_noise_ratio(*pictures, data_range=1.0))  # type: ignore[no-untyped-call]
    assert len(sqnr) == len(PROMPTS)
    assert found.sqnr_db == pytest.approx(np.mean(sqnr), rel=1e-9)
    assert found.psnr_db == pytest.approx(np.mean(psnr), rel=1e-9)


def test_prompts_do_not_depend_on_how_they_are_batched(
    emoji: SourceModel, judge: Judge, table: LayerTable, ranges: RangeTable
) -> None:
    alone = Judge(OneStep(emoji, PROMPTS, seed=5, resolution=128, batch=1), table, ranges, Dialect.ORT)
    plan = _plan(table, Precision(4, 16))
    assert alone.judge(plan).sqnr_db == pytest.approx(judge.judge(plan).sqnr_db, abs=1e-3)


def test_the_unet_is_left_as_it_was(judge: Judge, run: OneStep, table: LayerTable) -> None:
    judge.judge(_plan(table, Precision(2, 4)))
    assert torch.allclose(run.predict(run.batches[0]), run.batches[0].prediction, atol=1e-5)


def test_a_plan_or_ranges_of_another_model_are_refused(
    judge: Judge, run: OneStep, table: LayerTable, ranges: RangeTable
) -> None:
    plan = _plan(table, Precision(8, 8))
    with pytest.raises(DigestError, match="other weights"):
        judge.judge(replace(plan, model_digest="0" * 64))
    with pytest.raises(PlanError, match="has no entry for conv_in"):
        judge.judge(
            replace(plan, layers={name: bits for name, bits in plan.layers.items() if name != "conv_in"})
        )
    other = replace(ranges, model=replace(ranges.model, digest="0" * 64))
    with pytest.raises(DigestError, match="ranges were measured on"):
        Judge(run, table, other, Dialect.ORT)
