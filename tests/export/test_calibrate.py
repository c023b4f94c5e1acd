"""Ranges are what the layers really see."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from mixdq.configs.documents import to_json
from mixdq.configs.errors import ModelError
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.ranges import Range, RangeTable
from mixdq.export.calibrate import calibrate
from mixdq.export.calibrate_size import batches
from mixdq.export.layers import list_layers
from mixdq.export.reference import ReferencePipeline, unit_noise
from mixdq.export.seen import Seen
from mixdq.export.source import SourceModel

PROMPTS = ["red apple", "sleepy cat", "rocket"]


@pytest.fixture(scope="module")
def table(emoji: SourceModel) -> LayerTable:
    return list_layers(emoji, [128])


def _calibrate(
    emoji: SourceModel, table: LayerTable, prompts: Sequence[str], *, seed: int = 0, steps: int = 1
) -> RangeTable:
    return calibrate(
        emoji, table, prompts=prompts, seed=seed, resolutions=[128], steps=steps, advance=lambda _: None
    )


@pytest.fixture(scope="module")
def ranges(emoji: SourceModel, table: LayerTable) -> RangeTable:
    return _calibrate(emoji, table, PROMPTS)


def test_every_layer_has_a_range_and_shortcuts_have_two(table: LayerTable, ranges: RangeTable) -> None:
    ranges.check(table)
    assert {layer.name: len(ranges[layer.name]) for layer in table} == {
        layer.name: 1 if layer.split is None else 2 for layer in table
    }


def test_the_first_layer_sees_the_scaled_noise(emoji: SourceModel, ranges: RangeTable) -> None:
    # With trailing spacing the sampler starts at sigma times the noise, and divides by sqrt(sigma^2 + 1).
    sigma = 14.6146
    noise = unit_noise(emoji, len(PROMPTS), 128, 128) * sigma / (sigma**2 + 1) ** 0.5
    measured = ranges[LayerName("conv_in")][0]
    assert measured.minimum == pytest.approx(float(noise.min()), rel=1e-5)
    assert measured.maximum == pytest.approx(float(noise.max()), rel=1e-5)


def test_text_projections_are_measured_without_the_outlier_in_row_0(
    emoji: SourceModel, table: LayerTable, ranges: RangeTable
) -> None:
    text, _ = ReferencePipeline(emoji, streamed=False).encode(PROMPTS)
    expected = Range(float(text[:, 1:].min()), float(text[:, 1:].max()))
    measured = {ranges[layer.name] for layer in table if layer.reads_text}
    assert measured == {(expected,)}
    assert ranges.bos == tuple(text[0, 0].tolist())
    assert ranges.bos_change <= 1e-3
    # The planted outlier (see the model card): at least 80 times what the other tokens hold.
    assert max(map(abs, ranges.bos)) >= 80 * max(-expected.minimum, expected.maximum)


def test_a_repeated_run_gives_identical_ranges_and_another_seed_others(
    emoji: SourceModel, table: LayerTable, ranges: RangeTable
) -> None:
    assert _calibrate(emoji, table, PROMPTS) == ranges
    assert _calibrate(emoji, table, PROMPTS, seed=1) != ranges


def test_more_steps_only_widen(emoji: SourceModel, table: LayerTable, ranges: RangeTable) -> None:
    """With trailing spacing every run begins at the last timestep, so its first step is that of one step."""
    more = _calibrate(emoji, table, PROMPTS, steps=2)
    assert (more.calibration.steps, ranges.calibration.steps) == (2, 1)
    pairs = [(more[name], ranges[name]) for name in ranges.layers]
    assert all(new | old == new for wide, narrow in pairs for new, old in zip(wide, narrow, strict=True))
    assert sum(wide != narrow for wide, narrow in pairs) > len(pairs) / 2
    assert more.bos == ranges.bos


def test_more_prompts_only_widen(emoji: SourceModel, table: LayerTable, ranges: RangeTable) -> None:
    more = _calibrate(emoji, table, [*PROMPTS, *(f"prompt {number}" for number in range(6))])
    text = next(layer.name for layer in table if layer.reads_text)
    assert more[text][0] == more[text][0] | ranges[text][0]


def test_advance_is_called_once_a_batch(emoji: SourceModel, table: LayerTable) -> None:
    calls: list[int] = []
    prompts = [f"prompt {number}" for number in range(9)]
    calibrate(
        emoji,
        table,
        prompts=prompts,
        seed=0,
        resolutions=[128],
        steps=1,
        advance=lambda seen: calls.append(seen.batches),
    )
    assert calls == [1, 2]
    assert batches(len(prompts), [128]) == 2


def test_going_on_after_any_batch_gives_the_same_ranges_to_the_bit(
    emoji: SourceModel, table: LayerTable
) -> None:
    prompts = [*PROMPTS, *(f"prompt {number}" for number in range(6))]
    kept: list[Seen] = []

    def run(begun: Seen | None) -> RangeTable:
        return calibrate(
            emoji,
            table,
            prompts=prompts,
            seed=0,
            resolutions=[128, 64],
            steps=1,
            advance=kept.append,
            begun=begun,
        )

    whole = to_json(run(None))
    states = list(kept)
    assert [seen.batches for seen in states] == [1, 2, 3, 4]
    assert states[0].layers != states[-1].layers
    for place in (0, 2, 3):
        kept.clear()
        assert to_json(run(states[place])) == whole
        assert [seen.batches for seen in kept] == list(range(place + 2, 5))


def test_no_prompts_is_an_error(emoji: SourceModel, table: LayerTable) -> None:
    with pytest.raises(ModelError, match="at least one prompt"):
        _calibrate(emoji, table, [])


def test_values_that_are_not_finite_name_the_layer(
    emoji: SourceModel, table: LayerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = ReferencePipeline.__init__

    def poisoned(self: ReferencePipeline, source: SourceModel, *, streamed: bool) -> None:
        load(self, source, streamed=streamed)
        layer = self.unet.get_submodule("time_embedding.linear_1")

        def overflow(_: nn.Module, __: object, output: Tensor) -> Tensor:
            return torch.full_like(output, float("inf"))

        layer.register_forward_hook(overflow)

    monkeypatch.setattr(ReferencePipeline, "__init__", poisoned)
    with pytest.raises(ModelError, match=r"time_embedding\.linear_2 holds NaN or .*expected.*use other"):
        _calibrate(emoji, table, PROMPTS[:1])
