"""The CUDA back end against the simulation, on the CPU: its module stands in for the compiled one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mixdq.compiler.cuda.networks import NetworkOrder, make_network
from mixdq.compiler.unet_run import UnetInputs
from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.errors import BundleError, TargetError
from mixdq.configs.plan import uniform_plan
from mixdq.configs.precision import FP16
from mixdq.eval.compare.planned import Array
from mixdq.eval.compare.subject import Subject, open_subject
from mixdq.eval.cuda_agreement import Engines, measure_cuda_agreement
from mixdq.eval.cuda_agreement_report import CudaAgreement
from mixdq.eval.cuda_engines import choose_target
from mixdq.runtime.loading import load

PROMPTS = ("red apple", "pizza")


@pytest.fixture(scope="module")
def subject(emoji_w8a8: Path) -> Subject:
    return open_subject(emoji_w8a8, None, 128)


def _module(subject: Subject) -> nn.Module:
    order = NetworkOrder(subject.source, 1, "cpu", subject.table, subject.plan, subject.ranges)
    return make_network(Component.UNET, order).module


def _engines(subject: Subject, module: nn.Module) -> Engines:
    """The module that would be compiled; whole pictures by the bundle's own engines of ONNX Runtime."""

    def predict(inputs: UnetInputs) -> Array:
        halves = {name: torch.from_numpy(value).half() for name, value in inputs.items()}
        with torch.no_grad():
            output: Array = module(**halves).float().numpy()
        return output

    def draw(prompts: Sequence[str], seeds: Sequence[int]) -> Array:
        with load(subject.root) as pipeline:
            images = pipeline(list(prompts), seed=list(seeds), resolution=128)
        return np.stack([np.asarray(image) for image in images]).transpose(0, 3, 1, 2) / np.float32(255)

    return Engines(predict, draw)


def _measure(subject: Subject, module: nn.Module) -> CudaAgreement:
    return measure_cuda_agreement(
        subject,
        _engines(subject, module),
        target="cuda:sm90",
        prompts=PROMPTS,
        seed=3,
        device="cpu",
        report=lambda phase, done, total: None,
    )


def test_the_back_end_follows_the_simulation_as_other_kernels_do(subject: Subject, tmp_path: Path) -> None:
    found = _measure(subject, _module(subject))
    assert set(found.layers) == {name for name in subject.plan.layers if subject.plan[name].quantizes_weight}
    # FP16 keeps 11 bits: 70 dB or so of a product's output.
    assert min(found.layers.values()) > 60
    engine, half = found.rows["CUDA engine of the UNet"], found.rows["simulation in FP16"]
    assert min(engine.predictions) > min(half.predictions) - 6
    assert min(engine.pictures) > min(half.pictures) - 6
    # The same seeds give the same noise on both sides, else pictures would be no more alike than two apples.
    assert min(found.rows["CUDA engines, prompt to picture"].pictures) > 20
    assert "264 quantized layers" in found.lines()[0]
    found.write(tmp_path / "agreement.json")
    assert found.table().row_count == 5


def test_a_wrong_scale_shows_in_predictions_and_pictures(subject: Subject) -> None:
    module = _module(subject)
    module.get_buffer("conv_in.scale").mul_(1.1)
    found = _measure(subject, module)
    engine, half = found.rows["CUDA engine of the UNet"], found.rows["simulation in FP16"]
    assert min(engine.predictions) < min(half.predictions) - 6


def test_a_bundle_that_quantizes_nothing_has_nothing_to_compare(subject: Subject) -> None:
    plain = uniform_plan(subject.table, FP16, keep=(), protect=(), bos_aware=False, split_shortcuts=False)
    with pytest.raises(BundleError, match="nothing to compare; give a quantized bundle"):
        _measure(replace(subject, plan=plain), nn.Identity())


def test_a_bundle_without_cuda_engines_says_what_it_was_built_for(emoji_w8a8: Path) -> None:
    with pytest.raises(
        TargetError, match=r"built for cpu, expected a cuda target; build it with .*cuda:sm90"
    ):
        choose_target(Bundle.read(emoji_w8a8), None)
