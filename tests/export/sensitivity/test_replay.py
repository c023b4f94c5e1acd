"""What is replayed is what would have been computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from mixdq.configs.layers import LayerName, LayerTable
from mixdq.export.fidelity import sqnr_db
from mixdq.export.layers import quantizable
from mixdq.export.one_step import OneStep
from mixdq.export.sensitivity.replay import Recording, Replay, recorded_values

CHANGED = (
    "conv_in",
    "time_embedding.linear_2",
    "add_embedding.linear_1",
    "down_blocks.0.resnets.1.conv2",
    "down_blocks.0.downsamplers.0.conv",
    "down_blocks.1.attentions.1.transformer_blocks.0.attn2.to_k",
    "mid_block.attentions.0.proj_in",
    "mid_block.resnets.1.time_emb_proj",
    "up_blocks.0.resnets.2.conv_shortcut",
    "up_blocks.1.attentions.0.transformer_blocks.0.ff.net.2",
    "up_blocks.2.resnets.2.conv1",
    "conv_out",
)
"""A layer of every kind of part."""


@pytest.fixture(scope="module")
def replay(run: OneStep) -> Replay:
    return Replay(run.unet)


@pytest.fixture(scope="module")
def recording(run: OneStep, replay: Replay) -> Recording:
    return replay.record(partial(run.predict, run.batches[0]))


@contextmanager
def _changed(unet: nn.Module, name: str) -> Iterator[None]:
    """The layer gives a tenth more."""

    def scale(_: nn.Module, __: object, output: Tensor) -> Tensor:
        return output * 1.1

    hook = unet.get_submodule(name).register_forward_hook(scale)
    try:
        yield
    finally:
        hook.remove()


@pytest.mark.parametrize("name", CHANGED)
def test_replayed_and_computed_whole_are_the_same_bits(
    run: OneStep, replay: Replay, recording: Recording, name: str
) -> None:
    batch = run.batches[0]
    with _changed(run.unet, name):
        whole = run.predict(batch)
        with replay.before(LayerName(name), recording, 1):
            replayed = run.predict(batch)
    assert torch.equal(replayed, whole)
    assert not torch.equal(whole, batch.prediction)


@pytest.mark.parametrize("name", CHANGED[::4])
def test_copies_are_the_batch_behind_itself(
    run: OneStep, replay: Replay, recording: Recording, name: str
) -> None:
    batch = run.batches[0]
    with _changed(run.unet, name):
        whole = run.predict(batch)
        with replay.before(LayerName(name), recording, 3):
            copies = run.predict(batch, 3)
    # Kernels differ with the batch, so the last bits do.
    assert float(sqnr_db(copies, whole.repeat(3, 1, 1, 1)).min()) > 100


def test_nothing_that_follows_from_the_layer_is_replayed(
    run: OneStep, table: LayerTable, replay: Replay, recording: Recording
) -> None:
    """With every replayed part poisoned, only what reads them may change: so none may hold the layer."""
    order: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, __, name=name: order.append(name))
        for name, module in quantizable(run.unet)
    ]
    run.predict(run.batches[1])
    for hook in hooks:
        hook.remove()
    assert len(order) == len(table)
    for layer in table:
        done = replay.done_before(layer.name)
        skipped = {
            name for name in order if any(name.startswith(f"{part}.") or name == part for part in done)
        }
        assert skipped <= set(order[: order.index(layer.name)])


def test_the_later_a_layer_the_more_is_replayed(replay: Replay, recording: Recording) -> None:
    assert replay.done_before(LayerName("conv_in")) == ("time_embedding", "add_embedding")
    done = replay.done_before(LayerName("conv_out"))
    assert set(done) == {
        *("time_embedding", "add_embedding", "conv_in", "mid_block"),
        *(f"{side}_blocks.{index}" for side in ("down", "up") for index in range(3)),
    }
    inside = replay.done_before(LayerName("up_blocks.1.resnets.1.conv1"))
    assert {"up_blocks.0", "up_blocks.1.resnets.0"} <= set(inside)
    assert "up_blocks.1" not in inside


def test_parts_run_again_after_an_error(run: OneStep, replay: Replay, recording: Recording) -> None:
    def fail() -> None:
        with replay.before(LayerName("conv_out"), recording, 1):
            assert any("forward" in vars(module) for module in run.unet.modules())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not any("forward" in vars(module) for module in run.unet.modules())
    torch.testing.assert_close(run.predict(run.batches[0]), run.batches[0].prediction)


def test_recorded_values_are_those_of_one_recording(run: OneStep, recording: Recording) -> None:
    values, largest = recorded_values(run.unet, partial(run.predict, run.batches[0]))
    seen: dict[int, int] = {}

    def add(value: object) -> None:
        if isinstance(value, Tensor):
            seen[value.data_ptr()] = value.numel()
        elif isinstance(value, tuple):
            for part in value:
                add(part)

    for output in recording.values():
        add(output)
    assert values == sum(seen.values())
    assert largest == 2 * 77 * 224  # two texts of 77 tokens: more than any feature map of 8 by 8
