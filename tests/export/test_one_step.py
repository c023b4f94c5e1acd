"""One step of the model on fixed noise is what diffusers' own pipeline makes of it."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mixdq.configs.errors import ModelError, RequestError
from mixdq.export.fidelity import sqnr_db
from mixdq.export.one_step import OneStep, repeated
from mixdq.export.one_step_size import decoded_at_once, prompts_at_once
from mixdq.export.reference import ReferencePipeline, unit_noise
from mixdq.export.source import SourceModel

PROMPTS = ("red apple", "sleepy cat", "rocket")


def _run(emoji: SourceModel, prompts: Sequence[str] = PROMPTS, *, seed: int = 7, batch: int = 2) -> OneStep:
    return OneStep(emoji, prompts, seed=seed, resolution=64, batch=batch)


@pytest.fixture(scope="module")
def run(emoji: SourceModel) -> OneStep:
    return _run(emoji)


def test_prompts_are_split_into_batches_in_their_order(run: OneStep) -> None:
    assert [len(batch) for batch in run.batches] == [2, 1]
    assert run.batches[0].images.shape == (2, 3, 64, 64)


def test_prediction_latents_and_pictures_follow_from_each_other(run: OneStep) -> None:
    for batch in run.batches:
        prediction = run.predict(batch)
        latents = run.latents(batch, prediction)
        assert torch.equal(prediction, batch.prediction)
        assert torch.equal(latents, batch.latents)
        assert torch.equal(run.images(latents), batch.images)


def test_pictures_are_diffusers_own(emoji: SourceModel, run: OneStep) -> None:
    pipeline = ReferencePipeline(emoji, streamed=False)
    for index, prompt in enumerate(PROMPTS):
        batch, row = run.batches[index // 2], index % 2
        latents = pipeline.latents([prompt], unit_noise(emoji, 1, 64, 7 + index), 64)
        expected = np.clip(pipeline.decode(latents)[0] / 2 + 0.5, 0, 1)
        np.testing.assert_allclose(batch.images[row].numpy(), expected, atol=1e-4)


def test_x0_is_the_noise_less_sigma_times_the_prediction(run: OneStep) -> None:
    batch = run.batches[0]
    expected = batch.noisy - 14.6146 * batch.prediction
    assert float(sqnr_db(batch.latents, expected).min()) > 80


def test_a_prompt_starts_from_its_own_seed_whatever_the_batch(emoji: SourceModel, run: OneStep) -> None:
    alone = _run(emoji, PROMPTS[1:2], seed=8, batch=1).batches[0]
    together = run.batches[0]
    assert torch.equal(alone.noisy[0], together.noisy[1])
    assert float(sqnr_db(alone.prediction, together.prediction[1:]).min()) > 100


def test_copies_are_the_batch_behind_itself(run: OneStep) -> None:
    batch = run.batches[0]
    copies = run.predict(batch, 2)
    assert copies.shape == (4, 4, 8, 8)
    assert float(sqnr_db(copies, batch.prediction.repeat(2, 1, 1, 1)).min()) > 100
    assert run.latents(batch, copies).shape == copies.shape


def test_tensors_in_tuples_and_mappings_are_repeated_along_the_batch() -> None:
    rows = torch.tensor([[1], [2]])
    found = repeated({"a": (rows, None)}, 2)
    assert found["a"][0].tolist() == [[1], [2], [1], [2]]
    assert found["a"][1] is None
    assert repeated(rows, 1) is rows


def test_no_prompts_are_an_error(emoji: SourceModel) -> None:
    with pytest.raises(ModelError, match="no prompts were given"):
        _run(emoji, ())


def test_a_resolution_that_the_model_can_t_make_is_an_error(emoji: SourceModel) -> None:
    with pytest.raises(RequestError, match="resolution 50 is not a multiple of 32"):
        OneStep(emoji, PROMPTS, seed=0, resolution=50, batch=1)


def test_a_model_that_overflows_is_an_error(emoji: SourceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    load = ReferencePipeline.__init__

    def poisoned(self: ReferencePipeline, *arguments: object, **named: object) -> None:
        load(self, *arguments, **named)  # type: ignore[arg-type]

        def overflow(_: nn.Module, __: object, output: Tensor) -> Tensor:
            return output * float("inf")

        self.unet.get_submodule("conv_out").register_forward_hook(overflow)

    monkeypatch.setattr(ReferencePipeline, "__init__", poisoned)
    with pytest.raises(
        ModelError, match=r"full-precision prediction of emoji-turbo hold NaN.*expected; compute"
    ):
        _run(emoji)


def test_how_many_run_at_once_falls_with_the_pixels() -> None:
    assert [prompts_at_once(side, "cpu", 6) for side in (64, 128, 256, 1024)] == [32, 8, 2, 1]
    assert [prompts_at_once(side, "cuda", 6) for side in (128, 256, 512, 1024)] == [32, 32, 8, 2]
    assert [prompts_at_once(128, "cpu", variants) for variants in (1, 12, 14)] == [8, 4, 3]
    assert decoded_at_once(1024, "cpu") == 1
