"""Plans of mean bits: emoji-turbo's layers, with sensitivities drawn from a seed that ship from a folder."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.compiler.allocate.programme import InfeasibleError
from mixdq.compiler.cli import app
from mixdq.compiler.plan_words import PlanWords
from mixdq.compiler.recipe import Uniform
from mixdq.compiler.searched_plan import ShippedSearch
from mixdq.configs import shipped_search
from mixdq.configs.console import run_app
from mixdq.configs.errors import DigestError, PlanError, TargetError
from mixdq.configs.layers import Group, LayerName, LayerTable, ModelIdentity
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.quantizing import Activations, Clipping
from mixdq.configs.sensitivity import PAPER_METRICS, Metric, Operand, SensitivityTable
from mixdq.configs.target import Target

CPU = (Target.parse("cpu"),)
WIDTHS = (2, 4, 8)


def make_sensitivity(table: LayerTable, seed: int) -> SensitivityTable:
    """More bits score higher; SSIM below 1, SQNR up to some 60 dB."""
    draw = random.Random(seed)
    names = [layer.name for layer in table]
    content = [layer.name for layer in table if layer.group is Group.CONTENT]
    return SensitivityTable(
        model=table.model,
        layers_digest=table.digest,
        measurement=None,
        widths=dict.fromkeys(Operand, WIDTHS),
        scores={
            operand: {
                Metric.SQNR: {name: tuple(sorted(draw.uniform(5, 60) for _ in WIDTHS)) for name in names},
                Metric.SSIM: {name: tuple(sorted(draw.uniform(0.7, 1) for _ in WIDTHS)) for name in content},
            }
            for operand in Operand
        },
    )


@pytest.fixture(scope="module")
def emoji_layers() -> LayerTable:
    path = shipped_search.shipped_layers("emoji-turbo")
    assert path is not None
    return LayerTable.read(path)


Ship = Callable[[LayerTable, SensitivityTable], Path]


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    """Puts a search where the package's own lie, and gives its folder."""
    monkeypatch.setattr(shipped_search, "_PACKAGE", tmp_path / "package")

    def put(table: LayerTable, sensitivity: SensitivityTable) -> Path:
        folder = tmp_path / "package" / "search" / table.model.name
        folder.mkdir(parents=True)
        table.write(folder / "layers.json")
        sensitivity.write(folder / "sensitivity.json")
        return folder

    return put


@pytest.fixture
def search(ship: Ship, emoji_layers: LayerTable) -> Path:
    """The folder of a search for emoji-turbo."""
    return ship(emoji_layers, make_sensitivity(emoji_layers, 0))


NO_WORDS = PlanWords(None, None, None, False, None, None, False, False, False)


def _solved(words: PlanWords, model: ModelIdentity) -> PrecisionPlan:
    plan = words.choose(model, CPU).plan
    assert isinstance(plan, PrecisionPlan)
    return plan


# Clipping and centres.


def test_clipping_and_centres_are_added_to_any_plan(
    tmp_path: Path, search: Path, emoji_layers: LayerTable
) -> None:
    given = replace(NO_WORDS, weight_clipping=Clipping.MSE, activations=Activations.CENTERED)
    chosen = given.choose(emoji_layers.model, CPU)
    assert isinstance(chosen.plan, PrecisionPlan)
    assert chosen.words.endswith(", weight clipping mse, activations centered")
    plain = _solved(NO_WORDS, emoji_layers.model)
    same = replace(plain, weight_clipping=Clipping.MSE, activations=Activations.CENTERED)
    assert chosen.plan == same

    uniform = replace(given, uniform=True).choose(emoji_layers.model, CPU).plan
    assert isinstance(uniform, Uniform)
    assert uniform.weight_clipping is Clipping.MSE

    chosen.plan.write(tmp_path / "plan.yaml")
    file = replace(NO_WORDS, file=tmp_path / "plan.yaml")
    assert _solved(file, emoji_layers.model) == same  # the file's own, unless others are given
    other = replace(file, weight_clipping=Clipping.MINMAX, activations=Activations.PLAIN)
    assert _solved(other, emoji_layers.model).digest == plain.digest


def test_a_uniform_plan_is_made_with_its_clipping_and_centres(emoji_layers: LayerTable) -> None:
    plain = Uniform(Precision(4, 8), (), (), bos_aware=True, split_shortcuts=True)
    chosen = replace(plain, weight_clipping=Clipping.MSE, activations=Activations.CENTERED)
    made = chosen.for_layers(emoji_layers)
    assert (made.weight_clipping, made.activations) == (Clipping.MSE, Activations.CENTERED)
    assert made.layers == plain.for_layers(emoji_layers).layers


def test_clipping_of_a_plan_that_quantizes_nothing_is_refused(emoji_layers: LayerTable) -> None:
    words = replace(NO_WORDS, weight_bits=16, activation_bits=16, weight_clipping=Clipping.MSE)
    with pytest.raises(
        PlanError, match="this plan quantizes none; leave them out, or give fewer bits than 16"
    ):
        words.choose(emoji_layers.model, CPU)


# Where a search ships.


@pytest.mark.parametrize(
    ("weight", "activation", "means"),
    [
        (5.0, 8.0, "5.00/8.00"),
        (3.66, 16.0, "3.66/16.00"),
        (4.0, None, "4.00/8.00"),
        (None, None, "8.00/8.00"),
    ],
)
def test_mean_bits_are_solved_from_the_shipped_table(
    weight: float | None, activation: float | None, means: str, search: Path, emoji_layers: LayerTable
) -> None:
    words = replace(NO_WORDS, weight_bits=weight, activation_bits=activation)
    chosen = words.choose(emoji_layers.model, CPU)
    assert isinstance(chosen.plan, PrecisionPlan)
    chosen.plan.check(emoji_layers)
    assert chosen.plan.model_digest == emoji_layers.model.digest
    assert chosen.plan.mean_bits(emoji_layers)[0] == pytest.approx(weight or 8, abs=5e-3)
    quantized = [p for p in chosen.plan.layers.values() if p.quantizes_activation]
    assert {p.activation_bits for p in quantized} == (set() if activation == 16 else {8})
    assert f"by the shipped sensitivities, means {means}, " in chosen.words
    assert chosen.words.endswith(f"{264 - len(quantized)} of 264 activations in FP16")


def test_one_percent_of_each_groups_activations_are_protected(search: Path, emoji_layers: LayerTable) -> None:
    """Those with the lowest scores at 8 bits."""
    plan = _solved(replace(NO_WORDS, weight_bits=5), emoji_layers.model)
    table = make_sensitivity(emoji_layers, 0)
    for group in Group:
        layers = [layer.name for layer in emoji_layers if layer.group is group]
        scores = {name: table.score(Operand.ACTIVATION, PAPER_METRICS[group], name, 8) for name in layers}
        worst = sorted(layers, key=scores.__getitem__)[: -(-len(layers) // 100)]
        assert {name for name in layers if not plan[name].quantizes_activation} == set(worst)


def test_a_solved_plan_is_the_same_each_time(search: Path, emoji_layers: LayerTable) -> None:
    words = replace(NO_WORDS, weight_bits=4.4)
    assert _solved(words, emoji_layers.model).digest == _solved(words, emoji_layers.model).digest


def test_a_shipped_plan_of_exactly_these_means_comes_first(search: Path, emoji_layers: LayerTable) -> None:
    (search / "plans").mkdir()
    mark = LayerName("conv_out")
    plan = _solved(replace(NO_WORDS, weight_bits=5), emoji_layers.model)
    shipped = replace(plan, layers={**plan.layers, mark: Precision(3, 16)})
    shipped.write(search / "plans" / "w5a8.yaml")
    chosen = replace(NO_WORDS, weight_bits=5).choose(emoji_layers.model, CPU)
    assert chosen.plan == shipped
    assert re.match(r"shipped w5a8, means [45]\.\d\d/8\.00, [45] of 264 activations in FP16", chosen.words)
    for weight, activation in ((5.01, None), (5, 16)):
        words = replace(NO_WORDS, weight_bits=weight, activation_bits=activation)
        assert _solved(words, emoji_layers.model)[mark] != Precision(3, 16)


def test_without_bits_the_plan_of_eight_and_eight_is_taken(search: Path, emoji_layers: LayerTable) -> None:
    (search / "plans").mkdir()
    _solved(replace(NO_WORDS, weight_bits=5), emoji_layers.model).write(search / "plans" / "w8a8.yaml")
    assert NO_WORDS.choose(emoji_layers.model, CPU).words.startswith("shipped w8a8, means 5.00/8.00")


def test_a_shipped_plan_of_other_weights_is_refused(search: Path, emoji_layers: LayerTable) -> None:
    (search / "plans").mkdir()
    plan = _solved(replace(NO_WORDS, weight_bits=5), emoji_layers.model)
    replace(plan, model_digest="0" * 64).write(search / "plans" / "w5a8.yaml")
    with pytest.raises(DigestError, match="searched on other weights"):
        replace(NO_WORDS, weight_bits=5).choose(emoji_layers.model, CPU)


def test_a_damaged_table_is_refused_by_name(search: Path, emoji_layers: LayerTable) -> None:
    (search / "sensitivity.json").write_text("{}")
    with pytest.raises(PlanError, match=r"sensitivity\.json"):
        NO_WORDS.choose(emoji_layers.model, CPU)


def test_both_groups_may_have_two_bits(search: Path, emoji_layers: LayerTable) -> None:
    plan = _solved(replace(NO_WORDS, weight_bits=3.66), emoji_layers.model)
    for group in Group:
        bits = {plan[layer.name].weight_bits for layer in emoji_layers if layer.group is group}
        assert bits == {2, 4, 8}
    assert plan.mean_bits(emoji_layers)[0] <= 3.66


def test_a_mean_below_every_choice_names_the_nearest(search: Path, emoji_layers: LayerTable) -> None:
    with pytest.raises(InfeasibleError, match=r"--activation-bits 3 can't be kept.* 4$"):
        replace(NO_WORDS, activation_bits=3).choose(emoji_layers.model, CPU)


def test_a_mean_that_takes_widths_no_target_holds_is_refused_as_the_target_says(
    search: Path, emoji_layers: LayerTable
) -> None:
    """At 8 bits 4 is no choice, even for a layer whose score is the higher for it."""
    plan = _solved(replace(NO_WORDS, activation_bits=6), emoji_layers.model)
    assert 4 in {precision.activation_bits for precision in plan.layers.values()}
    with pytest.raises(TargetError, match=r"cpu can't hold W8A4 of .*; choose --activation-bits 8 or 16"):
        CPU[0].check(plan)


def test_a_layer_that_scores_higher_at_four_bits_than_at_eight_gets_eight_where_four_is_not_held(
    ship: Ship, emoji_layers: LayerTable
) -> None:
    table = make_sensitivity(emoji_layers, 0)
    content = [layer.name for layer in emoji_layers if layer.group is Group.CONTENT]
    scores = dict(table.scores[Operand.ACTIVATION][Metric.SSIM])
    scores[content[0]] = (0.5, 1.0, 0.999)
    metrics = {**table.scores[Operand.ACTIVATION], Metric.SSIM: scores}
    ship(emoji_layers, replace(table, scores={**table.scores, Operand.ACTIVATION: metrics}))
    assert _solved(NO_WORDS, emoji_layers.model)[content[0]] == Precision(8, 8)


@pytest.mark.parametrize("bits", [1.9, 8.5, 12.0, 17.0, -4.0, 0.0, float("nan"), float("inf")])
@pytest.mark.parametrize("operand", ["weight", "activation"])
def test_means_that_are_none_are_refused(
    operand: str, bits: float, search: Path, emoji_layers: LayerTable
) -> None:
    words = replace(
        NO_WORDS,
        weight_bits=bits if operand == "weight" else None,
        activation_bits=bits if operand == "activation" else None,
    )
    for model in (emoji_layers.model, ModelIdentity("another", "1" * 64)):
        with pytest.raises(PlanError, match=rf"is no {operand} width: use 2 to 8 bits, or 16"):
            words.choose(model, CPU)


def test_sixteen_and_sixteen_is_full_precision(search: Path, emoji_layers: LayerTable) -> None:
    words = replace(NO_WORDS, weight_bits=16, activation_bits=16)
    chosen = words.choose(emoji_layers.model, CPU)
    assert isinstance(chosen.plan, Uniform)
    assert chosen.plan.precision == FP16
    assert chosen.words == "full precision: nothing is quantized"
    with pytest.raises(PlanError, match="W16A8 is no precision"):
        replace(NO_WORDS, weight_bits=16).choose(emoji_layers.model, CPU)


# What asks for the same bits everywhere.


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ({"uniform": True}, "--uniform"),
        ({"keep": ["conv_in"]}, "--keep"),
        ({"protect": ["conv_in"]}, "--protect"),
        ({"no_protect": True}, "--no-protect"),
        ({"no_bos_aware": True}, "--no-bos-aware"),
        ({"no_split": True}, "--no-split-shortcuts"),
    ],
)
def test_an_option_of_uniform_plans_makes_one_though_a_search_ships(
    option: dict[str, object], name: str, search: Path, emoji_layers: LayerTable
) -> None:
    words = replace(NO_WORDS, weight_bits=4.0, **option)  # type: ignore[arg-type]
    chosen = words.choose(emoji_layers.model, CPU)
    assert isinstance(chosen.plan, Uniform)
    assert chosen.plan.precision == Precision(4, 8)
    assert chosen.words == f"uniform W4A8: {name} asks for the same bits in every layer"
    with pytest.raises(PlanError, match=rf"--weight-bits 4\.5 is a mean.*{name} asks .*give whole bits"):
        replace(words, weight_bits=4.5).choose(emoji_layers.model, CPU)


def test_several_such_options_are_all_named(search: Path, emoji_layers: LayerTable) -> None:
    words = replace(NO_WORDS, no_protect=True, no_bos_aware=True)
    chosen = words.choose(emoji_layers.model, CPU)
    assert isinstance(chosen.plan, Uniform)
    assert (chosen.plan.protect, chosen.plan.bos_aware) == ((), False)
    assert chosen.words.endswith("W8A8: --no-protect and --no-bos-aware ask for the same bits in every layer")


def test_a_plans_file_excludes_every_other_option(search: Path, emoji_layers: LayerTable) -> None:
    path = search / "mine.yaml"
    plan = _solved(NO_WORDS, emoji_layers.model)
    plan.write(path)
    words = replace(NO_WORDS, file=path)
    chosen = words.choose(emoji_layers.model, CPU)
    assert (chosen.plan, chosen.words) == (plan, str(path))
    for more in (
        replace(words, weight_bits=8.0),
        replace(words, activation_bits=8.0),
        replace(words, uniform=True),
        replace(words, no_split=True),
    ):
        with pytest.raises(PlanError, match="it excludes --weight-bits"):
            more.choose(emoji_layers.model, CPU)


# Where none ships.


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (ModelIdentity("another", "1" * 64), "no search ships for another"),
        (
            ModelIdentity("emoji-turbo", "1" * 64),
            "the search that ships for emoji-turbo is of other weights (a LoRA counts), another VAE or "
            "another scheduler than these (model 111111111111)",
        ),
    ],
)
def test_a_model_without_a_search_gets_the_same_whole_bits_everywhere(
    model: ModelIdentity, reason: str, search: Path
) -> None:
    assert ShippedSearch.of(model) is None
    chosen = replace(NO_WORDS, weight_bits=5.0).choose(model, CPU)
    assert isinstance(chosen.plan, Uniform)
    assert chosen.plan.precision == Precision(5, 8)
    assert chosen.words == f"uniform W5A8: {reason}"
    with pytest.raises(PlanError) as refused:
        replace(NO_WORDS, weight_bits=3.66).choose(model, CPU)
    assert str(refused.value).startswith(f"--weight-bits 3.66 is a mean, which takes a search; {reason}")
    for remedy in ("`mixdq-compile sensitivity`", "`mixdq-compile allocate`", "--plan", "whole bits"):
        assert remedy in str(refused.value)


def test_scores_that_say_no_model_are_nobodys(ship: Ship, emoji_layers: LayerTable) -> None:
    ship(emoji_layers, replace(make_sensitivity(emoji_layers, 0), model=None))
    assert ShippedSearch.of(emoji_layers.model) is None


@pytest.mark.parametrize("file", ["layers.json", "sensitivity.json"])
def test_half_a_search_is_none(file: str, search: Path, emoji_layers: LayerTable) -> None:
    (search / file).unlink()
    chosen = NO_WORDS.choose(emoji_layers.model, CPU)
    assert chosen.words == "uniform W8A8: no search ships for emoji-turbo"


# Through the commands.


def _command(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        run_app(app, [str(word) for word in words])
    return int(ended.value.code or 0)


def test_a_run_takes_the_searched_plan_says_so_and_is_up_to_date_the_second_time(
    tiny_model: Path, tiny_copy: Path, ship: Ship, capfd: pytest.CaptureFixture[str]
) -> None:
    table = LayerTable.read(tiny_copy / "layers.json")
    ship(table, make_sensitivity(table, 0))
    words = ("run", tiny_model, "--out", tiny_copy, "--weight-bits", 5.5, "--resolution", 64)
    assert _command(*words, "--prompt-count", 2) == 0
    said = r"^plan: w5\.5a8 by the shipped sensitivities, means 5\.\d\d/8\.00, \d of 202 activations in FP16$"
    assert re.search(said, capfd.readouterr().out, re.M)
    made = PrecisionPlan.read(tiny_copy / "plan.yaml")
    assert {precision.weight_bits for precision in made.layers.values()} == {2, 4, 8}
    assert _command(*words, "--prompt-count", 2) == 0
    again = capfd.readouterr().out
    assert re.search(said, again, re.M)
    assert "nothing to do" in again


def test_plan_writes_what_run_takes(
    tiny_run: Path, tmp_path: Path, ship: Ship, capfd: pytest.CaptureFixture[str]
) -> None:
    table = LayerTable.read(tiny_run / "layers.json")
    ship(table, make_sensitivity(table, 0))
    out = tmp_path / "plan.yaml"
    assert _command("plan", tiny_run, "--out", out, "--weight-bits", 4.5) == 0
    assert "plan: w4.5a8 by the shipped sensitivities, means 4.5" in capfd.readouterr().out
    assert PrecisionPlan.read(out) == _solved(replace(NO_WORDS, weight_bits=4.5), table.model)
    assert _command("plan", tiny_run, "--out", out, "--weight-bits", 4.5, "--uniform") == 2
    assert "error: --weight-bits 4.5 is a mean" in capfd.readouterr().err
