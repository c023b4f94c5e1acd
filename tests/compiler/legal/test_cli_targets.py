from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.compiler import cli_targets
from mixdq.compiler.cli import main
from mixdq.configs.capability import shipped_capabilities
from mixdq.configs.latency_table import LatencyRow, LatencyTable
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import FP8, Precision

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
def files(layers: LayerTable, tmp_path: Path) -> Path:
    """A folder with `layers.json` and a plan `w4a8.yaml`."""
    layers.write(tmp_path / "layers.json")
    _write(layers, Precision(4, 8), tmp_path / "w4a8.yaml")
    return tmp_path


def _write(layers: LayerTable, precision: Precision, path: Path) -> None:
    uniform_plan(layers, precision, keep=(), protect=(), bos_aware=True, split_shortcuts=True).write(path)


def test_targets_prints_every_back_end_one_or_one_target(command: Command) -> None:
    code, out, _ = command("targets")
    assert code == 0
    assert "TensorRT for RTX" in out
    assert "CUDA kernels of mixdq" in out
    assert "planned, not built" not in out
    assert "ONNX Runtime" not in command("targets", "rtx")[1]
    _, out, _ = command("targets", "rtx:sm75")
    assert "the model contains HW-specific datatypes: int4" in out


def test_targets_as_records_name_each_target_kind_and_form(command: Command) -> None:
    records = json.loads(command("targets", "--json")[1])
    expected = sum(
        len(entry.kinds) * max(1, len(table.capabilities))
        for table in shipped_capabilities()
        for entry in table.entries
    )
    assert len(records) == expected
    one = next(
        record
        for record in records
        if (record["target"], record["kind"], record["form"]) == ("rtx:sm89", "linear", "int4:channel/int8")
    )
    assert one == {
        "target": "rtx:sm89",
        "kind": "linear",
        "form": "int4:channel/int8",
        "precision": "W4A8",
        "legal": True,
        "written": True,
        "reason": "",
        "source": "probed",
        "what": "TensorRT for RTX 1.7.1",
    }


def test_a_probe_that_agrees_exits_with_0_and_one_that_differs_with_1(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = command("targets", "cpu", "--probe")
    assert code == 0
    assert "cpu: 42 graphs, 40 taken, 2 refused; all as the shipped table says" in out
    table = next(table for table in shipped_capabilities() if table.backend == "cpu")
    refused = replace(table.entries[0], legal=False, emitted=False, refused={"it was told so": ()})
    monkeypatch.setattr(cli_targets, "shipped_capabilities", lambda: (replace(table, entries=(refused,)),))
    code, out, _ = command("targets", "cpu", "--probe")
    assert code == 1
    assert "DIFFERS  cpu float/float GEMM: shipped as refused, the builder takes it" in out
    assert "3 differ from the shipped table" in out


def test_a_probe_of_a_models_layers_tries_each_shape(command: Command, files: Path) -> None:
    code, out, _ = command("targets", "cpu", "--probe", "--layers", files / "layers.json", "--json")
    assert code == 0
    assert {record["layer"] for record in json.loads(out)} == {
        layer.name for layer in LayerTable.read(files / "layers.json")
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("targets", "rtx:sm90"), "the nearest is rtx:sm89"),
        (("targets", "gpu"), "unknown target 'gpu'"),
        (("targets", "cuda", "--probe"), "read no graphs"),
        (("targets", "cpu", "--layers", "emoji-turbo"), "--layers says what to build for --probe"),
    ],
)
def test_targets_that_are_none_are_refused(command: Command, words: tuple[str, ...], message: str) -> None:
    code, _, error = command(*words)
    assert code == 2
    assert message in error


def test_legalize_prints_the_changes_and_writes_the_plan(command: Command, files: Path) -> None:
    words = ("legalize", files / "w4a8.yaml", "--layers", files / "layers.json", "--target", "rtx:sm89")
    code, out, _ = command(*words, "--out", files / "legal.yaml")
    assert code == 0
    assert "4 of 8 layers change for rtx:sm89" in out
    assert "rtx:sm89 takes no int4:channel/int8 of a convolution" in out
    assert "layers by form: int4:channel/int8 4, int4:channel/float 3, int8:channel/int8 1" in out
    plan = PrecisionPlan.read(files / "legal.yaml")
    assert set(plan.layers.values()) == {Precision(4, 8), Precision(4, 16), Precision(8, 8)}
    assert plan.realization is not None
    assert "activations on rtx:sm89 are symmetric" in out
    assert "not tried" not in out
    _, out, _ = command(*words[:-1], "cpu", "--block", 32, "--unwritten")
    assert "int4:block128/uint8 1" in out
    _, out, _ = command(*words[:-1], "tensorrt:sm90")
    assert "from documents, no builder was asked: TensorRT, working with quantized types: INT8" in out
    assert "symmetric" not in command(*words[:-1], "cpu")[1]


def test_what_legalize_can_not_do_is_refused(command: Command, files: Path, layers: LayerTable) -> None:
    def error(plan: str, target: str, *more: object) -> str:
        code, _, text = command(
            "legalize", files / plan, "--layers", files / "layers.json", "--target", target, *more
        )
        assert code == 2
        return text

    assert "does not run 8 layers as the plan asks: W4A8 of conv_in and 2 more (" in error(
        "w4a8.yaml", "rtx:sm75", "--strict"
    )
    assert "the nearest is tensorrt:sm90" in error("w4a8.yaml", "tensorrt:sm91")
    assert "blocks of 16 weights are none" in error("w4a8.yaml", "cpu", "--block", 16)
    _write(layers, FP8, files / "fp8.yaml")
    assert "rtx:sm80 has nothing that answers FP8" in error("fp8.yaml", "rtx:sm80", "--unwritten")
    words = ("--layers", files / "layers.json", "--target", "rtx:sm89", "--out", files / "legal.yaml")
    assert command("legalize", files / "w4a8.yaml", *words)[0] == 0
    assert "made legal for rtx:sm89, not for cpu" in error("legal.yaml", "cpu")
    assert "at 96 pixels is unknown" in error("w4a8.yaml", "cpu", "--resolution", 96)


def test_times_of_another_model_or_target_are_refused(
    command: Command, files: Path, layers: LayerTable
) -> None:
    words = ("legalize", files / "w4a8.yaml", "--layers", files / "layers.json", "--latency")
    LatencyTable((_row("other", "cpu"),), {}, {}).write(files / "other.json")
    code, _, error = command(*words, files / "other.json", "--target", "cpu")
    assert code == 2
    assert "no time of conv_in" in error
    assert "it has layers of other cpu 64 batch 1" in error
    rows = tuple(replace(_row(layers.model.name, "tensorrt"), name=layer.name) for layer in layers)
    LatencyTable(rows, {}, {}).write(files / "times.json")
    assert "it has layers of eight tensorrt" in command(*words, files / "times.json", "--target", "cpu")[2]
    assert command(*words, files / "times.json", "--target", "tensorrt:sm90")[0] == 0


def _row(model: str, target: str) -> LatencyRow:
    return LatencyRow(
        name="conv_in",
        kind="layer",
        precision="W8A8",
        plan_digest=None,
        target=target,
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
