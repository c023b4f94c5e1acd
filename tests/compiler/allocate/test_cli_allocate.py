from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mixdq.compiler.cli import main
from mixdq.configs.latency_table import LatencyRow, LatencyTable
from mixdq.configs.layers import LayerName, LayerTable, ModelIdentity
from mixdq.configs.mixdq_format.protected import read_protected
from mixdq.configs.mixdq_format.scores import score_files_of_table
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.sensitivity import SensitivityTable

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `mixdq-compile`: its exit code, what it printed, and its error."""
    monkeypatch.setenv("COLUMNS", "300")

    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return run


@pytest.fixture
def files(layers: LayerTable, sensitivity: SensitivityTable, tmp_path: Path) -> Path:
    """A folder with `layers.json`, `sensitivity.json` and MixDQ's four tables."""
    layers.write(tmp_path / "layers.json")
    sensitivity.write(tmp_path / "sensitivity.json")
    for name, file in score_files_of_table(sensitivity).items():
        file.write(tmp_path / name)
    return tmp_path


def _allocate(files: Path, *more: object) -> tuple[object, ...]:
    own = ("--sensitivity", files / "sensitivity.json", "--out", files / "plan.yaml")
    return ("allocate", files / "layers.json", *own, *more)


def test_a_plan_and_mixdqs_files_are_written_and_make_the_plan_again(files: Path, command: Command) -> None:
    code, out, _ = command(
        *_allocate(files, "--weight-bits", 5, "--activation-bits", 6, "--mixdq", files / "maps")
    )
    assert code == 0
    plan = PrecisionPlan.read(files / "plan.yaml")
    plan.check(LayerTable.read(files / "layers.json"))
    weights, activations = re.findall(r"effective bits: weights ([0-9.]+).*activations ([0-9.]+)", out)[0]
    assert 4.5 < float(weights) <= 5
    assert 5 < float(activations) <= 6
    assert "proven optimal" in out
    protected = read_protected(files / "maps/act_protected.pt")
    assert len(protected) == 2  # one percent of four, rounded up, of each group
    assert all(plan[name].activation_bits == 16 for name in protected)
    code, out, _ = command("bitmaps", files / "layers.json", files / "maps", "--out", files / "again.yaml")
    assert code == 0
    assert "no map claims other bits than it holds" in out
    # The maps don't say on which weights they were searched.
    assert PrecisionPlan.read(files / "again.yaml").layers == plan.layers


def test_mixdqs_tables_give_the_same_plan_but_for_the_model(files: Path, command: Command) -> None:
    words = ("--weight-bits", 5, "--activation-bits", 8)
    assert command(*_allocate(files, *words))[0] == 0
    own = PrecisionPlan.read(files / "plan.yaml")
    tables = [word for file in sorted(files.glob("*_s*.yaml")) for word in ("--sensitivity", file)]
    assert command("allocate", files, *tables, *words, "--out", files / "mixdq.yaml")[0] == 0
    theirs = PrecisionPlan.read(files / "mixdq.yaml")
    assert theirs.layers == own.layers
    assert (own.model_digest, theirs.model_digest) == ("e" * 64, None)


def test_memory_is_a_budget_of_weights(files: Path, command: Command) -> None:
    code, out, _ = command(*_allocate(files, "--memory", "1.4KiB", "--activation-bits", 16))
    assert code == 0
    taken = int(re.findall(r"packed weights: ([0-9,]+) bytes", out)[0].replace(",", ""))
    assert 1200 < taken <= 1.4 * 1024


@pytest.mark.parametrize(
    "words",
    [
        ("--memory", "0.01KiB", "--activation-bits", 8),
        ("--memory", "0.01KiB", "--activation-bits", 8, "--ratio", 0.7),
        ("--memory", "0.01KiB", "--weight-bits", 2.5, "--activation-bits", 8),
        ("--memory", "0.01KiB", "--weight-bits", 8, "--activation-bits", 8),
        ("--weight-bits", 1.5, "--activation-bits", 8),
        ("--weight-bits", 1.5, "--activation-bits", 16, "--ratio", 0.61),
        ("--weight-bits", 5, "--activation-bits", 3.9, "--activation-ratio", 1.09),
        ("--weight-bits", 3, "--activation-bits", 8, "--budget", "quality.weight=4", "--ratio", 0.4),
        ("--memory", "0.01KiB", "--joint"),
        ("--weight-bits", 1.5, "--joint"),
        ("--activation-bits", 1.5, "--joint"),
    ],
)
def test_the_nearest_budget_that_an_error_names_can_be_kept(
    files: Path, command: Command, words: tuple[object, ...]
) -> None:
    code, _, err = command(*_allocate(files, *words))
    assert (code, "can't be kept" in err) == (2, True)
    option = err.removeprefix("error: ").split()[0]
    named = dict(re.findall(r"(--[a-z-]+) ([0-9.]+(?:[KMG]iB)?)", err.split("the nearest ")[1]))
    named = named or {option: re.findall(r" is ([0-9.]+(?:[KMG]iB)?)$", err)[0]}
    assert option in named
    again = [named.get(str(before), word) for before, word in zip(("", *words), words, strict=False)]
    assert again != list(words)
    code, _, err = command(*_allocate(files, *again))
    assert (code, err) == (0, "")


def test_memory_that_is_too_small_is_said_in_memory(files: Path, command: Command) -> None:
    """2784 weights, 992 of them content's: at equal means quality's four bits decide, 1392 bytes."""
    code, _, err = command(*_allocate(files, "--memory", "0.5KiB", "--activation-bits", 8))
    assert code == 2
    assert err == (
        "error: --memory 0.5KiB can't be kept: at this split of content to quality (--ratio 1) the smallest "
        "choices need 1.3594KiB (4 mean weight bits); the nearest that can be kept is --memory 1.3594KiB\n"
    )
    code, out, _ = command(*_allocate(files, "--memory", "1.5KiB", "--joint"))
    assert (code, re.findall(r"packed weights +│ +([0-9.KiB]+) ", out)) == (0, ["1.5KiB"])


def test_a_split_that_no_mean_keeps_is_said_so(files: Path, command: Command) -> None:
    words = ("--weight-bits", 7, "--activation-bits", 8, "--ratio", 0.01)
    code, _, err = command(*_allocate(files, *words))
    assert (code, "no mean up to 8 is enough for it; choose --ratio nearer to 1" in err) == (2, True)


def _latency(layers: LayerTable, path: Path) -> None:
    rows = tuple(
        LatencyRow(
            name=layer.name,
            kind="layer",
            precision=precision,
            plan_digest=None,
            target="cpu",
            device="cpu",
            resolution=64,
            batch=1,
            median_us=median,
            lower_quartile_us=median,
            upper_quartile_us=median,
            p95_us=median,
            runs=20,
            processes=1,
            lowest_process_us=median,
            highest_process_us=median,
            source="bundle",
            model="eight",
            steps=1,
            clock="onnxruntime profile",
            run_digest=precision,
        )
        for layer in layers
        for precision, median in (("W8A8", 500.0), ("W4A8", 300.0), ("W4A16", 700.0), ("W8A16", 800.0))
    )
    LatencyTable(rows, {"processor": "x"}, {}).write(path)


def test_latency_is_a_budget_of_the_joint_programme(
    files: Path, command: Command, layers: LayerTable
) -> None:
    _latency(layers, files / "latency.json")
    words = ("--latency", files / "latency.json", "--latency-ms")
    code, out, _ = command(*_allocate(files, *words, 4.0))
    assert code == 0
    assert "milliseconds of the UNet" in out
    plan = PrecisionPlan.read(files / "plan.yaml")
    # At least 6 times 0.3 ms, and 2 times 0.7 of the protected layers: 3.2; 4.0 pays four layers 8 bits more.
    eights = sum(precision.weight_bits == 8 for precision in plan.layers.values())
    assert 0 < eights < 8
    code, _, err = command(*_allocate(files, *words, 3.0))
    assert code == 2
    assert re.search(r"can't be kept: .* takes 3\.2; .* kept is 3\.2$", err)


def test_a_sweep_is_a_csv_with_its_frontier(files: Path, command: Command) -> None:
    code, out, _ = command(
        "allocate",
        files / "layers.json",
        "--sensitivity",
        files / "sensitivity.json",
        "--sweep",
        3,
        "--out",
        files / "g.csv",
    )
    assert code == 0
    assert "18 points, 18 feasible, 18 proven optimal" in out
    with (files / "g.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["operand"] for row in rows} == {"weight", "activation"}
    assert {row["on_frontier"] for row in rows} == {"True", "False"}


def test_ratios_are_swept(files: Path, command: Command) -> None:
    words = ("--weight-bits", 5, "--sweep-ratios", "0.5:1.5:5")
    code, out, _ = command(*_allocate(files, *words))
    assert code == 0
    assert "5 points" in out


def test_a_baseline_is_a_plan_within_the_budgets(files: Path, command: Command) -> None:
    words = ("--weight-bits", 5, "--activation-bits", 8, "--baseline")
    code, out, _ = command(*_allocate(files, *words, "uniform"))
    assert code == 0
    assert "weights 4.0000" in out
    assert {p.weight_bits for p in PrecisionPlan.read(files / "plan.yaml").layers.values()} == {4}
    code, _, err = command(*_allocate(files, *words, "best"))
    assert (code, "'best' is no baseline; use one of random" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--weight-bits", 5), "no budget for content.activation and quality.activation"),
        (("--activation-bits", 8), "no budget for content.weight and quality.weight"),
        (("--weight-bits", 1.9, "--activation-bits", 8), "nearest that can be kept is --weight-bits 4"),
        (("--weight-bits", "nan", "--activation-bits", 8), "--weight-bits nan is no budget"),
        (("--weight-bits", 5, "--latency-ms", "inf"), "--latency-ms inf is no budget"),
        (
            ("--budget", "content.weight=1", "--weight-bits", 5, "--activation-bits", 8),
            "the budget of 1 for the mean weight bits of the content group",
        ),
        (("--weight-bits", 16, "--activation-bits", 8), "more than any width"),
        (("--weight-bits", 5, "--activation-bits", 8, "--memory", "1.6"), "no amount of memory"),
        (("--latency-ms", 5), "give both or neither"),
        (("--weight-bits", 5, "--joint", "--ratio", 0.7), "leave out --ratio"),
        (("--weight-bits", 5, "--joint", "--budget", "content.weight=4"), "none of them"),
        (("--weight-bits", 5, "--joint", "--baseline", "random"), "leave out --joint"),
        (("--joint",), "nothing bounds"),
        (("--sweep", 3, "--sweep-ratios", "1:2:3"), "give one of them"),
        (("--sweep-ratios", "1:2:3"), "give --weight-bits"),
        (("--weight-bits", 5, "--activation-bits", 8, "--resolution", 128), "at 128 pixels is unknown"),
        (("--weight-bits", 5, "--activation-bits", 8, "--protect-share", 2), "out of bounds"),
        (
            ("--weight-bits", 5, "--activation-bits", 8, "--quality-metric", "x0_sqnr_db"),
            "no activation x0_sqnr_db",
        ),
        (
            ("--weight-bits", 5, "--activation-bits", 8, "--widths", "content.weight=3"),
            "no weight scores at 3",
        ),
    ],
)
def test_what_can_not_be_asked_for_is_one_clear_error(
    files: Path, command: Command, words: tuple[object, ...], said: str
) -> None:
    code, _, err = command(*_allocate(files, *words))
    assert code == 2
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1
    assert not (files / "plan.yaml").exists()


def test_sensitivities_of_another_model_or_of_too_few_layers_are_refused(
    files: Path, command: Command, layers: LayerTable
) -> None:
    words = ("--weight-bits", 5, "--activation-bits", 8)
    LayerTable(ModelIdentity("other", "f" * 64), layers.layers).write(files / "layers.json")
    code, _, err = command(*_allocate(files, *words))
    assert (code, "was measured on eight" in err) == (2, True)
    LayerTable(layers.model, layers.layers[1:]).write(files / "layers.json")
    code, _, err = command(*_allocate(files, *words))
    assert (code, "names conv_in, which eight does not have" in err) == (2, True)


def test_names_of_another_models_protected_layers_are_refused(files: Path, command: Command) -> None:
    from mixdq.configs.mixdq_format.protected import write_protected

    write_protected(files / "protected.pt", [LayerName("conv_in"), LayerName("conv_nowhere")])
    words = ("--weight-bits", 5, "--activation-bits", 8, "--protected", files / "protected.pt")
    code, _, err = command(*_allocate(files, *words))
    assert (code, "names conv_nowhere, which eight does not have" in err) == (2, True)
    write_protected(files / "protected.pt", [LayerName("conv_in")])
    code, out, _ = command(*_allocate(files, *words))
    assert (code, "protected: conv_in\n" in out) == (0, True)


def test_copies_and_false_claims_are_reported(files: Path, command: Command, layers: LayerTable) -> None:
    text = "".join(f"model.{layer.name}: 4\n" for layer in layers)
    maps = files / "weight"
    maps.mkdir()
    for name in ("weight_4.00.yaml", "weight_6.00.yaml"):
        (maps / name).write_text(text)
    code, out, _ = command("bitmaps", files / "layers.json", maps)
    assert code == 0
    assert re.search(r"weight_6\.00\.yaml claims 6\.00 bits by its name and holds 4\.0000", out)
    assert "weight_4.00.yaml claims" not in out
    assert re.search(r"the same bits for every layer: .*weight_4\.00\.yaml, .*weight_6\.00\.yaml", out)
    code, _, err = command("bitmaps", files / "layers.json", maps, "--out", files / "plan.yaml")
    assert (code, "there are 2 and 0" in err) == (2, True)


def test_maps_that_are_not_there_or_of_another_model_are_refused(files: Path, command: Command) -> None:
    (files / "none").mkdir()
    assert "holds no YAML file" in command("bitmaps", files / "layers.json", files / "none")[2]
    (files / "none" / "a.yaml").write_text("model.conv_nowhere: 4\n")
    code, _, err = command("bitmaps", files / "layers.json", files / "none")
    assert (code, "names conv_nowhere, which eight does not have" in err) == (2, True)
