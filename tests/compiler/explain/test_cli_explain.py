from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mixdq.configs.layers import LayerTable, ModelIdentity
from mixdq.configs.mixdq_format.scores import score_files_of_table
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.sensitivity import SensitivityTable

Command = Callable[..., tuple[int, str, str]]


def _explain(folder: Path, *more: object) -> tuple[object, ...]:
    return ("explain", folder / "plan.yaml", "--sensitivity", folder / "sensitivity.json", *more)


def test_everything_is_said_written_and_drawn(folder: Path, command: Command) -> None:
    sweep = ("--sweep", 3, "--out", folder / "points.csv")
    assert command("allocate", folder, "--sensitivity", folder / "sensitivity.json", *sweep)[0] == 0
    more = ("--points", folder / "points.csv", "--compare", folder / "sensitivity.json", "--top", 2)
    code, out, err = command(*_explain(folder, *more, "--out", folder / "explained"))
    assert (code, err) == (0, "")
    for words in (
        "BOS-aware, 32 prompts, seed 0, 64 pixels",
        "content weights: the 2 most sensitive at each width",
        "activations that stay FP16",
        "W8A8, 2 of 9 layers W4A8, 1 of 9 layers W8A16",
        "the cheapest bits are those of up_blocks.0.resnets.0.conv_shortcut",
        "the paper: the weight of conv_out is highly sensitive. Here that holds",
        "weights: 9 points",
    ):
        assert words in out
    names = {"explain.json", "bits.png", "tails.png", "frontier.png", "comparison.png"}
    assert {path.name for path in (folder / "explained").iterdir()} == names
    for name in names - {"explain.json"}:
        with Image.open(folder / "explained" / name) as picture:
            assert (picture.format, picture.width) == ("PNG", 1440)
            colours = picture.convert("RGB").getcolors(maxcolors=10**6)
            assert colours is not None
            assert len(colours) > 20
    found = json.loads((folder / "explained" / "explain.json").read_text())
    assert found["totals"]["all"]["weight_bits"] == 7.2
    assert found["rankings"][0]["layers"][0]["bits"] in (4, 8)
    assert len(found["frontiers"]) == 2


def test_json_is_all_that_is_printed(folder: Path, command: Command) -> None:
    code, out, err = command(*_explain(folder, "--json", "--out", folder / "explained"))
    assert code == 0
    assert json.loads(out) == json.loads((folder / "explained" / "explain.json").read_text())
    assert "written:" in err
    assert not (folder / "explained" / "frontier.png").exists()


def test_without_sensitivities_the_rest_is_said(folder: Path, command: Command) -> None:
    code, out, err = command("explain", folder)
    assert (code, err) == (0, "")
    assert "sensitivities: none; give --sensitivity" in out
    assert "7.2000" in out
    assert "most sensitive" not in out


def test_mixdqs_tables_say_the_same_as_ours(
    folder: Path, command: Command, sensitivity: SensitivityTable
) -> None:
    words: list[object] = []
    for name, file in score_files_of_table(sensitivity).items():
        file.write(folder / name)
        words += ["--sensitivity", folder / name]
    code, out, _ = command("explain", folder, *words, "--json")
    assert code == 0
    theirs, ours = json.loads(out), json.loads(command(*_explain(folder, "--json"))[1])
    assert "does not say how it was measured" in theirs.pop("sensitivity")
    assert ours.pop("sensitivity")
    assert sorted(theirs.pop("takeaways"), key=str) == sorted(ours.pop("takeaways"), key=str)
    assert theirs == ours


def test_layers_can_be_given_by_name_of_the_file(
    folder: Path, command: Command, mixed: PrecisionPlan
) -> None:
    (folder / "elsewhere").mkdir()
    mixed.write(folder / "elsewhere" / "p.yaml")
    code, _, err = command("explain", folder / "elsewhere" / "p.yaml")
    assert (code, "no layers.json beside" in err, "--layers MODEL" in err) == (2, True, True)
    assert command("explain", folder / "elsewhere" / "p.yaml", "--layers", folder)[0] == 0


def test_a_plan_of_a_model_that_ships_needs_no_layers(
    folder: Path,
    command: Command,
    table: LayerTable,
    make_plan: Callable[..., PrecisionPlan],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mixdq.configs.shipped_search._PACKAGE", folder)
    (folder / "search" / "nine").mkdir(parents=True)
    table.write(folder / "search" / "nine" / "layers.json")
    (folder / "elsewhere").mkdir()
    plan = make_plan("W8A8")
    plan.write(folder / "elsewhere" / "p.yaml")
    code, out, err = command("explain", folder / "elsewhere" / "p.yaml")
    assert (code, err, "of nine: W8A8" in out) == (0, "", True)
    # Of the same architecture, searched on other weights: the layers that ship say nothing of its model.
    replace(plan, model_digest="0" * 64).write(folder / "elsewhere" / "p.yaml")
    code, _, err = command("explain", folder / "elsewhere" / "p.yaml")
    assert (code, "--layers MODEL" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--out", "FOLDER/plan.yaml"), "is a file; --out names the folder"),
        (("--points", "FOLDER/plan.yaml"), "holds no points of a sweep"),
        (("--points", "FOLDER/none.csv"), "could not read"),
        (("--compare", "FOLDER/layers.json"), "is not a valid sensitivity table"),
        (("--resolution", 128), "at 128 pixels is unknown"),
        (("--content-metric", "ssim_windowed"), "no weight ssim_windowed"),
        (("--widths", "weight=3"), "'weight' is no programme"),
        (("--top", 0), "--top"),
        (("--layers", "FOLDER/plan.yaml"), "is not valid JSON"),
    ],
)
def test_what_can_not_be_explained_is_one_clear_error(
    folder: Path, command: Command, words: tuple[object, ...], said: str
) -> None:
    given = (str(word).replace("FOLDER", str(folder)) for word in words)
    code, out, err = command(*_explain(folder, *given))
    assert code == 2
    assert err.startswith("error: ")
    assert said in err
    assert (out, err.count("\n")) == ("", 1)


def test_a_plan_or_scores_of_another_model_are_refused(
    folder: Path, command: Command, table: LayerTable, sensitivity: SensitivityTable
) -> None:
    (folder / "empty").mkdir()
    assert "holds no plan.yaml" in command("explain", folder / "empty")[2]
    LayerTable(table.model, table.layers[:-1]).write(folder / "layers.json")
    code, _, err = command("explain", folder)
    assert (code, "names conv_out, which nine does not have" in err) == (2, True)
    LayerTable(ModelIdentity("other", "0" * 64), table.layers).write(folder / "layers.json")
    code, _, err = command(*_explain(folder))
    assert (code, "was measured on nine" in err) == (2, True)
    few = {
        operand: {metric: dict(list(scores.items())[1:]) for metric, scores in metrics.items()}
        for operand, metrics in sensitivity.scores.items()
    }
    replace(sensitivity, scores=few).write(folder / "sensitivity.json")
    code, _, err = command(*_explain(folder, "--layers", folder))
    assert (code, "has no weight sqnr_db for conv_in" in err) == (2, True)


def test_the_sensitivities_that_ship_are_used_for_their_own_weights_alone(
    folder: Path,
    command: Command,
    table: LayerTable,
    sensitivity: SensitivityTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shipped = folder / "search" / "nine" / "sensitivity.json"
    shipped.parent.mkdir(parents=True)
    sensitivity.write(shipped)
    monkeypatch.setattr("mixdq.configs.shipped_search._PACKAGE", folder)
    code, out, err = command("explain", folder)
    assert (code, err) == (0, "")
    assert f"sensitivities: table {sensitivity.digest[:12]}" in out
    LayerTable(ModelIdentity("nine", "0" * 64), table.layers).write(folder / "layers.json")
    code, out, err = command("explain", folder)
    assert code == 0
    assert "sensitivities: none" in out
    assert "the sensitivities that ship are not used: the sensitivity table was measured on nine" in err


def test_fp8_says_by_which_scores_it_is_judged(
    folder: Path, command: Command, make_plan: Callable[..., PrecisionPlan]
) -> None:
    make_plan("FP8").write(folder / "plan.yaml")
    assert "layers in FP8: 9, judged by the scores of 8-bit integers" in command(*_explain(folder))[1]


def test_no_figure_is_cut_in_a_narrow_terminal(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = command(*_explain(folder))[1]
    monkeypatch.setenv("COLUMNS", "40")
    narrow = command(*_explain(folder))[1]
    assert "…" not in narrow
    assert sorted(set(narrow.split()), key=str) == sorted(set(wide.split()), key=str)
