from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mixdq.configs.errors import RequestError
from mixdq.configs.latency_table import STAGES
from mixdq.configs.model_choice import ModelChoice
from mixdq.eval.speed.choices import TorchPrecision
from mixdq.eval.speed.reference_subject import Baseline, ReferenceSubject
from mixdq.eval.speed.subject import Case, Drawing
from mixdq.eval.speed.torch_drawer import TorchDrawer
from mixdq.export.reference import unit_noise
from mixdq.export.source import SourceModel

EAGER = Baseline(TorchPrecision.FLOAT32, compiled=False, cuda_graph=False)
SIZE = 64


@pytest.fixture
def subject() -> ReferenceSubject:
    return ReferenceSubject.of(ModelChoice("emoji-turbo"), EAGER, "cpu")


def test_the_stages_together_are_diffusers_own_pipeline(
    subject: ReferenceSubject, emoji: SourceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[torch.Tensor] = []
    steps, seed = 2, 7
    drawer = TorchDrawer(emoji, EAGER, "cpu", Case(subject, SIZE, 2, Drawing("red apple", seed, steps)))
    decode = drawer._decode

    def keep(latents: torch.Tensor) -> torch.Tensor:
        decoded.append(latents)
        return decode(latents)

    monkeypatch.setattr(drawer, "_decode", keep)
    times = drawer.draw()
    assert set(times) == set(STAGES)
    assert sum(times[name] for name in STAGES[:4]) <= times["picture"]
    with torch.no_grad():
        latents = drawer._pipe(
            ["red apple"] * 2,
            height=SIZE,
            width=SIZE,
            num_inference_steps=steps,
            generator=torch.Generator().manual_seed(seed),
            guidance_scale=0.0,
            latents=unit_noise(emoji, 2, SIZE, seed),
            output_type="latent",
        ).images
    expected = latents / emoji.configs["vae"]["scaling_factor"]
    np.testing.assert_allclose(decoded[0].numpy(), expected.numpy(), atol=2e-4)


def test_its_text_is_what_diffusers_encodes(subject: ReferenceSubject, emoji: SourceModel) -> None:
    drawer = TorchDrawer(emoji, EAGER, "cpu", Case(subject, SIZE, 2, Drawing("red apple", 0, 1)))
    with torch.no_grad():
        found = drawer._embed()
        text, _, pooled, _ = drawer._pipe.encode_prompt(["red apple"] * 2, do_classifier_free_guidance=False)
    assert all(torch.equal(mine, its) for mine, its in zip(found, (text, pooled), strict=True))


def test_the_reference_is_called_by_all_that_its_numbers_depend_on(subject: ReferenceSubject) -> None:
    fast = Baseline(TorchPrecision.FLOAT16, compiled=True, cuda_graph=False)
    other = ReferenceSubject.of(ModelChoice("emoji-turbo"), fast, "cpu")
    assert subject.label.precision == "float32"
    assert other.label.precision == "float16, VAE float32, torch.compile"
    assert other.digest != subject.digest
    half = ReferenceSubject.of(ModelChoice("emoji-turbo", vae_precision="float16"), fast, "cpu")
    assert half.label.precision == "float16, torch.compile"


def test_weights_on_disk_are_the_model_s_files(subject: ReferenceSubject, emoji: SourceModel) -> None:
    files = set(Path(emoji.folder).rglob("*.safetensors"))
    assert subject.weights_mib(128) == pytest.approx(sum(path.stat().st_size for path in files) / 2**20)
    made_up = ReferenceSubject.of(ModelChoice("emoji-turbo", weights="synthetic"), EAGER, "cpu")
    assert made_up.weights_mib(128) is None


def test_a_side_that_the_model_can_not_halve_is_refused(subject: ReferenceSubject) -> None:
    subject.check(64, 8)
    with pytest.raises(RequestError, match="not a multiple of 32"):
        subject.check(72, 1)
