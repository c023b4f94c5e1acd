from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from mixdq.compiler.allocate.joint import JointBudgets
from mixdq.compiler.allocate.layer_times import LayerTimes
from mixdq.compiler.allocate.on_target import realized, solve, totals_in_words, with_menu
from mixdq.compiler.allocate.programme import InfeasibleError
from mixdq.compiler.allocate.request import Answer, Request
from mixdq.compiler.allocate.subject import PAPER_WIDTHS, Part, Subject
from mixdq.compiler.cli import main
from mixdq.compiler.legal.choices import Rules
from mixdq.compiler.legal.legalize import legalize
from mixdq.compiler.legal.totals import real_totals
from mixdq.configs.capability import find_capability
from mixdq.configs.errors import PlanError
from mixdq.configs.latency_table import LatencyRow, LatencyTable
from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import Precision
from mixdq.configs.sensitivity import Operand, SensitivityTable

SM89 = Rules(find_capability("rtx:sm89"), None, unwritten=True)
TODAY = Rules(find_capability("rtx:sm89"), None, unwritten=False)
_CONV_IN = LayerName("conv_in")


def _request(memory_bytes: float | None, times: LayerTimes | None = None, ms: float | None = None) -> Request:
    budgets = JointBudgets(None, None, memory_bytes and memory_bytes / 2**30, ms)
    return Request(budgets, dict.fromkeys(Operand, 1.0), {}, joint=True, times=times)


def _plan(answer: Answer, subject: Subject) -> PrecisionPlan:
    return realized(answer.allocation.plan(bos_aware=True, split_shortcuts=True), subject)


def _pairs(subject: Subject, layer: LayerSpec) -> list[tuple[int, int]]:
    """What TensorRT for RTX runs on SM89 of the paper's widths: weight and activation bits."""
    pairs = [(8, 16), (4, 16)]
    if layer.name not in subject.protected:
        pairs += [(8, 8)] if layer.kind is Kind.CONVOLUTION else [(8, 8), (4, 8)]
    return pairs


def _bytes(layer: LayerSpec, weight_bits: int) -> int:
    return layer.weights * weight_bits // 8 + 2 * layer.weight_shape[0]


def _share(subject: Subject, part: Part, layer: LayerSpec, bits: int) -> float:
    """Of what there is to gain in a part."""
    if layer.name in subject.protected and part.operand is Operand.ACTIVATION:
        return 0.0
    widths = PAPER_WIDTHS[part]
    whole = sum(
        max(subject.score(part, one, b) for b in widths) - min(subject.score(part, one, b) for b in widths)
        for one in subject.layers(part)
    )
    worst = min(subject.score(part, layer, b) for b in widths)
    return (subject.score(part, layer, min(bits, 8)) - worst) / whole


def _score(subject: Subject, layer: LayerSpec, pair: tuple[int, int]) -> float:
    weight, activation = (part for part in Part if part.group is layer.group)
    assert (weight.operand, activation.operand) == (Operand.WEIGHT, Operand.ACTIVATION)
    return _share(subject, weight, layer, pair[0]) + _share(subject, activation, layer, pair[1])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_the_optimum_is_that_of_trying_all_legal_choices(
    make_subject: Callable[[int], Subject], seed: int, share: float
) -> None:
    subject = make_subject(seed)
    least, most = (sum(_bytes(layer, bits) for layer in subject.table) for bits in (4, 8))
    room = int(least + share * (most - least))
    answer = solve(_request(room), with_menu(subject, SM89, split_shortcuts=True), SM89)
    choices = [
        sorted({(_bytes(layer, pair[0]), _score(subject, layer, pair)) for pair in _pairs(subject, layer)})
        for layer in subject.table
    ]
    best = max(
        sum(score for _, score in chosen)
        for chosen in product(*choices)
        if sum(size for size, _ in chosen) <= room
    )
    (solution,) = answer.solutions.values()
    assert solution.proven
    assert solution.score == pytest.approx(best)
    assert solution.shown() * 2**30 <= room


def test_nothing_needs_fixing_afterwards_and_the_bytes_are_the_budgets(subject: Subject) -> None:
    on_target = with_menu(subject, SM89, split_shortcuts=True)
    answer = solve(_request(1800), on_target, SM89)
    plan = _plan(answer, on_target)
    assert legalize(plan, subject.table, SM89, strict=True).plan == plan
    bare = replace(plan, realization=None)
    assert legalize(bare, subject.table, SM89, strict=True).plan == plan
    (solution,) = answer.solutions.values()
    assert real_totals(plan, subject.table, 64, 2).bytes == solution.costs[0] // 8 <= 1800
    assert plan[_CONV_IN].activation_bits == 16
    text = "\n".join(totals_in_words(plan, on_target, SM89))
    assert f"{solution.costs[0] // 8:,} bytes of weights and scales" in text


def test_four_bits_of_a_convolution_cost_its_activation_and_equal_choices_quantize_it(
    subject: Subject,
) -> None:
    on_target = with_menu(subject, SM89, split_shortcuts=True)
    small = _plan(solve(_request(1650), on_target, SM89), on_target)
    large = _plan(solve(_request(10_000), on_target, SM89), on_target)
    convolution = LayerName("up_blocks.0.resnets.0.conv1")
    assert small[convolution] == Precision(4, 16)
    assert set(large.layers.values()) == {Precision(8, 8), Precision(8, 16)}
    assert [name for name in large.layers if large[name] == Precision(8, 16)] == [_CONV_IN]


def test_what_can_not_be_written_yet_is_not_chosen_but_said(subject: Subject) -> None:
    on_target = with_menu(subject, TODAY, split_shortcuts=True)
    with pytest.raises(InfeasibleError, match=r"KiB \(weights and scales on rtx:sm89\) .*--unwritten adds"):
        solve(_request(1500), on_target, TODAY)
    old = Rules(find_capability("cuda:sm80"), None, unwritten=True)
    with pytest.raises(InfeasibleError) as refused:
        solve(_request(1500), with_menu(subject, old, split_shortcuts=True), old)
    assert "--unwritten" not in str(refused.value)


def test_blocks_pay_for_their_scales(subject: Subject) -> None:
    fine = replace(SM89, block=32)
    menus = [with_menu(subject, rules, split_shortcuts=True).menu for rules in (SM89, fine)]
    name = LayerName("down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2")
    sizes = [menu.bytes[name][Precision(4, 16)] for menu in menus if menu is not None]
    # 8 x 32 weights: one scale for each of 8 channels either way; to_k's 20 inputs take no block.
    assert sizes == [128 + 16, 128 + 16]
    assert str(menus[1].forms[name][Precision(4, 16)] if menus[1] else "") == "int4:block32/float"


def test_a_latency_budget_chooses_among_what_is_legal_and_measured(subject: Subject) -> None:
    times = LayerTimes(
        {
            layer.name: {Precision(8, 8): 2000, Precision(8, 16): 1000, Precision(2, 8): 1}
            for layer in subject.table
        },
        0,
    )
    on_target = with_menu(subject, TODAY, split_shortcuts=True)
    plan = _plan(solve(_request(None, times, 8 * 1000 / 1e6), on_target, TODAY), on_target)
    assert set(plan.layers.values()) == {Precision(8, 16)}


def test_widths_that_the_target_does_not_run_are_refused(subject: Subject) -> None:
    widths = {part: (2,) if part.operand is Operand.WEIGHT else (8,) for part in Part}
    on_target = with_menu(replace(subject, widths=widths), SM89, split_shortcuts=True)
    with pytest.raises(PlanError, match=r"rtx:sm89 runs conv_in as .*may choose W2A16; offer other widths"):
        solve(_request(1500), on_target, SM89)


def test_full_tensorrts_times_are_of_the_gpu_it_ran_on() -> None:
    assert Rules(find_capability("tensorrt:sm90"), None, unwritten=False).times_target == "tensorrt"
    assert SM89.times_target == "rtx:sm89"


@pytest.fixture
def command(
    layers: LayerTable,
    sensitivity: SensitivityTable,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[int, str, str]]:
    """Runs `mixdq-compile allocate` with more options: its exit code, what it printed, and its error."""
    monkeypatch.setenv("COLUMNS", "300")
    layers.write(tmp_path / "layers.json")
    sensitivity.write(tmp_path / "sensitivity.json")
    own = ("--sensitivity", tmp_path / "sensitivity.json", "--out", tmp_path / "plan.yaml")

    def run(*more: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in ("allocate", tmp_path / "layers.json", *own, *more)])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return run


def test_the_command_writes_a_plan_that_is_legal_for_its_target(
    command: Callable[..., tuple[int, str, str]], layers: LayerTable, tmp_path: Path
) -> None:
    code, out, _ = command("--target", "rtx:sm89", "--unwritten", "--memory", "1.8KB")
    assert code == 0
    assert "proven optimal" in out
    assert "layers by form on rtx:sm89: int" in out
    plan = PrecisionPlan.read(tmp_path / "plan.yaml")
    assert plan.realization is not None
    assert plan.realization.target == "rtx:sm89"
    assert legalize(plan, layers, SM89, strict=True).changes == ()


def test_without_a_target_plans_are_written_as_ever(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    assert command("--weight-bits", 5, "--activation-bits", 8)[0] == 0
    assert PrecisionPlan.read(tmp_path / "plan.yaml").realization is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "rtx:sm88", "--memory", "2KB"), "the nearest is rtx:sm89"),
        (("--target", "rtx:sm89", "--memory", "2KB", "--block", 17), "blocks of 17 weights are none"),
        (("--target", "rtx:sm89", "--memory", "2KB", "--baseline", "random"), "leave them out, or --target"),
        (("--target", "rtx:sm89", "--memory", "2KB", "--sweep", 3), "leave them out, or --target"),
        (("--memory", "2KB", "--unwritten"), "give --target, as rtx:sm89"),
        (("--target", "cpu", "--memory", "1.2KB"), "which --unwritten adds"),
        (("--target", "rtx:sm89", "--memory", "9KB", "--ratio", 2), "splits the bits itself"),
    ],
)
def test_contradictory_options_are_refused(
    command: Callable[..., tuple[int, str, str]], words: tuple[object, ...], message: str
) -> None:
    code, _, error = command(*words)
    assert code == 2
    assert message in error


def test_times_of_another_target_are_refused(
    command: Callable[..., tuple[int, str, str]], layers: LayerTable, tmp_path: Path
) -> None:
    table = LatencyTable(tuple(_row(layer.name, layers.model.name) for layer in layers), {}, {})
    table.write(tmp_path / "latency.json")
    times = ("--latency", tmp_path / "latency.json", "--latency-ms", 1, "--protect-share", 0)
    code, _, error = command("--target", "rtx:sm89", *times)
    assert code == 2
    assert "it has layers of eight cpu 64 batch 1" in error
    assert command("--target", "cpu", *times)[0] == 0
    assert command(*times, "--widths", "content.weight=8", "--widths", "quality.weight=8")[0] == 0


def _row(name: LayerName, model: str) -> LatencyRow:
    return LatencyRow(
        name=name,
        kind="layer",
        precision="W8A8",
        plan_digest=None,
        target="cpu",
        device="cpu",
        resolution=64,
        batch=1,
        median_us=10.0,
        lower_quartile_us=9.0,
        upper_quartile_us=11.0,
        p95_us=12.0,
        runs=5,
        processes=1,
        lowest_process_us=10.0,
        highest_process_us=10.0,
        source="bundle",
        model=model,
        steps=1,
        clock="wall",
        run_digest="r",
    )
