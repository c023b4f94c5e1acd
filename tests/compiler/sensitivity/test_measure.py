"""Parts, pauses and refusals of a measurement, in this process."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.compiler.sensitivity import room
from mixdq.compiler.sensitivity.journal import finished_layers
from mixdq.compiler.sensitivity.measure import Outcome, measure
from mixdq.compiler.sensitivity.order import SensitivityOrder
from mixdq.configs.errors import DigestError, EvaluationError, MachineError, RequestError
from mixdq.configs.layers import Group
from mixdq.configs.ranges import RangeTable
from mixdq.configs.sensitivity import Metric, Operand, SensitivityTable
from mixdq.export.layers import list_layers


class Phases:
    """A report that keeps what it was told; it may stop the work as Ctrl-C does."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.names: list[str] = []
        self._stop_after = stop_after

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        kind = phase.split(",")[0]
        if kind not in self.names:
            self.names.append(kind)
        if kind == "layers" and done == self._stop_after:
            raise KeyboardInterrupt


@pytest.fixture
def some(order: SensitivityOrder) -> SensitivityOrder:
    """Three layers: quality, content, and a shortcut that is split."""
    return replace(order, layers=("conv_in", "*mid*.attn2.to_k", "up_blocks.1.resnets.0.conv_shortcut"))


def _scores(outcome: Outcome) -> object:
    return [(entry.layer, entry.scores) for entry in outcome.entries]


def test_a_part_says_what_is_measured_and_keeps_it(some: SensitivityOrder) -> None:
    outcome = measure(Phases(), some)
    assert [entry.layer for entry in outcome.entries] == [
        "conv_in",
        "up_blocks.1.resnets.0.conv_shortcut",
        "mid_block.attentions.0.transformer_blocks.0.attn2.to_k",
    ]
    assert (outcome.table, outcome.now, finished_layers(some.journal)) == (None, 3, 3)
    assert not some.out.exists()
    by_name = {entry.layer: entry for entry in outcome.entries}
    content = {name for name in by_name if outcome.layers[name].group is Group.CONTENT}
    for name, entry in by_name.items():
        assert set(entry.scores) == set(Operand)
        for operand in Operand:
            assert (Metric.SSIM in entry.scores[operand]) == (name in content)
            assert len(entry.scores[operand][Metric.SQNR]) == 1


def test_after_an_interruption_only_the_others_are_measured_and_to_the_same_figures(
    some: SensitivityOrder, tmp_path: Path
) -> None:
    whole = measure(Phases(), replace(some, out=tmp_path / "whole" / "s.json"))
    with pytest.raises(KeyboardInterrupt):
        measure(Phases(stop_after=2), some)
    assert finished_layers(some.journal) == 2
    again = Phases()
    outcome = measure(again, some)
    assert _scores(outcome) == _scores(whole)
    assert outcome.now == 1
    assert "batches of prompts" not in again.names  # the ranges were kept
    nothing = Phases()
    assert measure(nothing, some).now == 0
    assert "opening the model" not in nothing.names


def test_lost_ranges_are_measured_again(some: SensitivityOrder) -> None:
    first = measure(Phases(), replace(some, layers=("conv_in",)))
    some.ranges_file.write_text("{}")
    phases = Phases()
    outcome = measure(phases, replace(some, layers=("conv_out",)))
    assert "batches of prompts" in phases.names
    assert [entry.layer for entry in outcome.entries] == ["conv_in", "conv_out"]
    assert outcome.header == first.header


def test_another_seed_is_refused_before_any_work_and_a_restart_begins_anew(some: SensitivityOrder) -> None:
    part = replace(some, layers=("conv_in",))
    first = measure(Phases(), part)
    phases = Phases()
    with pytest.raises(EvaluationError, match=r"holds layers of another measurement \(seed 3, now 4\)"):
        measure(phases, replace(part, seed=4))
    assert set(phases.names) == {"importing torch", "listing"}
    other = measure(Phases(), replace(part, seed=4, restart=True))
    assert _scores(other) != _scores(first)


def test_all_layers_make_the_table(order: SensitivityOrder) -> None:
    outcome = measure(Phases(), replace(order, widths={Operand.WEIGHT: (8,)}))
    table = SensitivityTable.read(order.out)
    assert table == outcome.table
    assert list(table.scores) == [Operand.WEIGHT]
    layers = list_layers(order.source, [64])
    table.check(layers)
    assert list(table.scores[Operand.WEIGHT][Metric.SQNR]) == [layer.name for layer in layers]
    content = [layer.name for layer in layers if layer.group is Group.CONTENT]
    assert list(table.scores[Operand.WEIGHT][Metric.WINDOWED_SSIM]) == content
    assert table.measurement is not None
    assert (table.measurement.prompts, table.measurement.seed, table.measurement.resolution) == (1, 3, 64)
    assert sorted(path.name for path in order.out.parent.iterdir()) == [
        "sensitivity.json",
        "sensitivity.ranges.json",
    ]


def test_every_metric_decodes_quality_layers_too(some: SensitivityOrder) -> None:
    outcome = measure(Phases(), replace(some, layers=("conv_in",), every_metric=True))
    assert set(outcome.entries[0].scores[Operand.WEIGHT]) == set(Metric)


def test_given_ranges_are_used_and_must_be_the_model_s(some: SensitivityOrder) -> None:
    part = replace(some, layers=("conv_in",))
    first = measure(Phases(), part)
    ranges = RangeTable.read(part.ranges_file)
    given = replace(part, ranges=ranges, out=part.out.with_name("given.json"))
    phases = Phases()
    assert _scores(measure(phases, given)) == _scores(first)
    assert "batches of prompts" not in phases.names
    with pytest.raises(DigestError, match="were measured on"):
        measure(Phases(), replace(given, ranges=replace(ranges, layers_digest="0"), restart=True))


def test_a_layer_that_the_model_does_not_have_is_damage(some: SensitivityOrder) -> None:
    part = replace(some, layers=("conv_in",))
    measure(Phases(), part)
    lines = part.journal.read_text().splitlines()
    stranger = {**json.loads(lines[1]), "layer": "nowhere"}
    part.journal.write_text("\n".join([*lines, json.dumps(stranger)]) + "\n")
    with pytest.raises(EvaluationError, match="nowhere"):
        measure(Phases(), part)


def test_half_precision_is_for_gpus(some: SensitivityOrder) -> None:
    with pytest.raises(RequestError, match="float16 is for GPUs; use float32 with --device cpu"):
        measure(Phases(), replace(some, precision="float16"))


def test_too_little_memory_is_refused_before_the_model_is_opened(
    some: SensitivityOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "available_mib", lambda: 1000.0)
    phases = Phases()
    with pytest.raises(
        MachineError, match=r"needs about 1\.\d GiB of memory, and there are 1\.0 GiB.*--batch than 1"
    ):
        measure(phases, some)
    assert "opening the model" not in phases.names
    assert not some.journal.exists()


def test_memory_grows_with_prompts_and_variants(order: SensitivityOrder) -> None:
    sizes = room.model_sizes(order)
    one = sizes.need_mib(order, "cpu", 1)
    assert sizes.need_mib(order, "cpu", 2) > one
    more = replace(order, prompts=("a", "b"))
    recorded_mib = sizes.recorded * 4 / (1 << 20)
    assert sizes.need_mib(more, "cpu", 1) - one == pytest.approx(recorded_mib)
    half = sum(sizes.parameters.values()) * 2 / (1 << 20)
    assert sizes.need_mib(replace(order, precision="float16"), "cuda", 1) < one - 0.9 * half + 1


def test_a_pattern_without_a_layer_is_refused_before_a_journal_is_begun(order: SensitivityOrder) -> None:
    with pytest.raises(RequestError, match=r"--layers 'encoder\.\*' matches none of the 84 layers of few"):
        measure(Phases(), replace(order, layers=("encoder.*",)))
    assert not order.journal.exists()
