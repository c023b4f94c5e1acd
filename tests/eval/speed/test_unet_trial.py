"""The UNet's trial: its plans, and a run of it on the CPU."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mixdq.compiler.cuda.forms import InputGrid
from mixdq.compiler.cuda.products import Quantize
from mixdq.configs.console import run_app
from mixdq.configs.errors import EvaluationError
from mixdq.configs.form import Form
from mixdq.configs.layers import Kind, LayerName, LayerTable
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.plan import PrecisionPlan
from mixdq.eval import cli
from mixdq.eval.speed.half_epilogues import bytes_of, half_epilogues
from mixdq.eval.speed.kernel_kinds import Launch
from mixdq.eval.speed.made_up_unet import made_up_inputs, made_up_unet, plan_of
from mixdq.eval.speed.unet_trial import CaseFigures, TrialOrder, run_trial
from mixdq.eval.speed.unet_trial_choices import USUAL_CASES, WAYS, Case
from mixdq.eval.speed.unet_trial_view import trial_view
from mixdq.export.layers import list_layers
from mixdq.export.source import SourceModel, open_architecture


@pytest.fixture(scope="module")
def architecture() -> SourceModel:
    return open_architecture(ModelChoice("emoji-turbo"))


@pytest.fixture(scope="module")
def table(architecture: SourceModel) -> LayerTable:
    return list_layers(architecture, (64,))


def test_packed_plans_hold_four_bits_where_blocks_fit_and_eight_elsewhere(table: LayerTable) -> None:
    plan = plan_of("w4a16", table, "emoji-turbo")
    assert plan.realization is not None
    forms = plan.realization.forms
    blocks = Form.parse("int4:block128/float")
    for layer in table:
        if layer.kind is Kind.LINEAR:
            fits = layer.weight_shape[1] % 128 == 0
            assert forms[layer.name] == (blocks if fits else Form.parse("int8:channel/float"))
    assert str(forms[LayerName("conv_in")]) == "int8:channel/float"
    plan.check(table)


def test_the_first_plan_quantizes_nothing(table: LayerTable) -> None:
    plan: PrecisionPlan = plan_of("fp16", table, "emoji-turbo")
    assert not plan.quantizes
    assert not plan.bos_aware


def test_weights_and_inputs_are_the_same_in_every_process(architecture: SourceModel) -> None:
    first, second = (made_up_unet(architecture, "cpu") for _ in range(2))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])
        assert tensor.dtype == torch.float16
    once, twice = (made_up_inputs(architecture, 1, 64, "cpu") for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(once, twice, strict=True))


def test_a_run_writes_what_it_found_what_it_could_not_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_app(
            cli.app,
            [
                *("unet-speed", "eager:64", "torchao:64", "--model", "emoji-turbo"),
                *("--device", "cpu", "--out", str(tmp_path)),
            ],
        )
    assert ended.value.code == 0
    rows = list(csv.DictReader((tmp_path / "unet.csv").read_text().splitlines()))
    found = {row["way"]: row for row in rows}
    eager = found["eager"]
    assert (eager["resolution"], eager["batch"], eager["db"], eager["missing"]) == ("64", "1", "inf", "")
    assert float(eager["ms_q1"]) <= float(eager["ms"]) <= float(eager["ms_q3"])
    assert "failed" in found["torchao"]["missing"]
    assert "torchao" in (tmp_path / "log.txt").read_text()
    assert "mixdq-eval" in json.loads((tmp_path / "machine.json").read_text())["command"]
    assert "images/s" in capsys.readouterr().out


_CHILD = """
import json, sys
from pathlib import Path

command, _, _, folder, *others = sys.argv[1:]
if command == "prepare":
    sys.exit()
case, history = others[0], Path(__file__).with_name("history.txt")
tries = history.read_text().count(f"begins {case}\\n") if history.exists() else 0


def note(what):
    with history.open("a") as file:
        file.write(f"{what} {case}\\n")


note("begins")
if case.endswith(":8") or (case.endswith(":4") and not tries):
    sys.exit(1)
if case.endswith(":2"):
    sys.stdin.read()
print("torch says something")
print(json.dumps({"ready": case}), flush=True)
sys.stdin.readline()
note("timed")
print(json.dumps({"figures": {"ms": 1.0}}))
print(json.dumps({"launches": [["kernel", 2.0]]}), flush=True)
sys.stdin.readline()
"""


def test_graphs_follow_compilers_what_is_called_its_turn_and_what_failed_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trial_child.py").write_text(_CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("mixdq.eval.speed.unet_trial._CHILD", "trial_child")
    cases = ("graph:512", "eager:512", "w8a8:512:4", "w8a8:512:8", "fp16:512:2", "w8a8:512")
    order = TrialOrder(tuple(map(Case.parse, cases)), "emoji-turbo", "cpu", 10.0, 1)
    with (tmp_path / "log.txt").open("w") as log:
        found = {str(one.case): one for one in run_trial(order, log, lambda _: None)}
    assert (tmp_path / "history.txt").read_text().splitlines() == [
        *("begins w8a8:512:4", "begins w8a8:512:8", "begins fp16:512:2"),
        *("begins graph:512", "timed graph:512"),
        *("begins eager:512", "timed eager:512"),
        *("begins w8a8:512:4", "timed w8a8:512:4", "begins w8a8:512:8"),
    ]
    assert found["w8a8:512:4"].launches == (Launch("kernel", 2.0),)
    assert found["w8a8:512:8"].missing == "failed while it was made ready; the log says why"
    assert found["fp16:512:2"].missing == found["w8a8:512"].missing == "not compiled within 10 s"
    assert not any(found[case].missing for case in ("graph:512", "eager:512", "w8a8:512:4"))


@pytest.mark.parametrize(
    ("text", "case"),
    [("w8a8:512", Case("w8a8", 512, 1)), ("compiled:768:8", Case("compiled", 768, 8))],
)
def test_a_case_is_read_as_it_is_written(text: str, case: Case) -> None:
    assert Case.parse(text) == case
    assert str(case) == text


@pytest.mark.parametrize("text", ["w8a8", "w8a8:", "int3:512", "w8a8:512:0", "w8a8:512:4:1", "w8a8:half"])
def test_an_unknown_case_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(EvaluationError, match=r"write w8a8:512 or w8a8:512:4"):
        Case.parse(text)


def test_the_usual_cases_are_cases_of_every_way() -> None:
    assert {Case.parse(text).way for text in USUAL_CASES} == set(WAYS)


def test_each_case_is_set_beside_the_fastest_fp16_of_its_size() -> None:
    def found(way: str, ms: float, mib: float, batch: int = 1) -> CaseFigures:
        figures: dict[str, object] = {"ms": ms, "ms_q1": ms, "ms_q3": ms, "ms_in_a_row": ms}
        return CaseFigures(Case(way, 512, batch), {**figures, "allocated_mib": mib, "db": None})

    view = trial_view(
        [
            found("graph", 12.0, 5000.0),
            found("compiled", 9.0, 5000.0),
            found("w8a8", 6.0, 2500.0),
            found("w8a8", 20.0, 2600.0, batch=4),
            CaseFigures(Case("fp16", 512, 1), missing="not compiled within 1 s"),
        ]
    )
    cells = [list(column.cells) for column in view.columns]
    assert cells[0] == ["graph:512", "compiled:512", "w8a8:512", "w8a8:512:4", "fp16:512"]
    faster, shares = cells[5], cells[7]
    assert faster == ["0.75", "1.00", "1.50", "", ""]
    assert shares == ["1.000", "1.000", "0.500", "", ""]
    assert cells[4][3] == "200.00"
    assert cells[1][4] == "not compiled within 1 s"


def test_bytes_of_half_numbers_are_read_where_they_lie() -> None:
    half = torch.arange(12, dtype=torch.float16).reshape(2, 6)
    numbers = bytes_of(half)
    assert (numbers.shape, numbers.dtype) == (half.shape, torch.int8)
    assert numbers.data_ptr() == half.data_ptr()


def test_producers_write_integers_again_after_they_wrote_fp16() -> None:
    quantize = Quantize(InputGrid(0.5, 3), torch.device("cpu"))
    rows = torch.tensor([[1.0, -2.0]]).half()
    with half_epilogues():
        assert torch.equal(quantize(rows), bytes_of(rows))
    assert quantize(rows).tolist() == [[5, -1]]


def test_an_interrupted_trial_says_what_it_keeps_and_that_it_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def one_case(*_: object) -> Iterator[CaseFigures]:
        yield CaseFigures(Case("eager", 64, 1), {"ms": 1.5})
        raise KeyboardInterrupt

    monkeypatch.setattr("mixdq.eval.speed.unet_trial.run_trial", one_case)
    arguments = ["unet-speed", "--device", "cpu", "--out", str(tmp_path), "eager:64", "eager:128"]
    with pytest.raises(SystemExit) as ended:
        run_app(cli.app, arguments)
    assert ended.value.code == 130
    said = capsys.readouterr().err
    assert f"{tmp_path} holds the cases timed so far (1); the same command begins anew" in said
    assert (tmp_path / "unet.csv").read_text().count("\n") == 2
