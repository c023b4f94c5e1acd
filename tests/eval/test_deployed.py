"""What of a plan arrives in the graphs of each target."""

import csv
from dataclasses import replace
from pathlib import Path
from statistics import mean, median

import pytest
import torch

from mixdq.compiler.legal.choices import Rules
from mixdq.compiler.legal.legalize import legalize
from mixdq.configs.capability import find_capability
from mixdq.configs.console import run_app
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FP8
from mixdq.configs.quantizing import Activations
from mixdq.eval.cli import app
from mixdq.eval.deployed import measure_deployed
from mixdq.eval.deployed_order import open_order
from mixdq.eval.deployed_report import DeployedReport, targets_in_words


@pytest.fixture(scope="module")
def report(emoji_w8a8: Path) -> DeployedReport:
    torch.set_num_threads(1)
    order = open_order(
        emoji_w8a8,
        plans=(),
        targets=("cpu", "rtx:sm80", "tensorrt:sm90"),
        activations=Activations.PLAIN,
        prompts=None,
        prompt_count=2,
        seed=0,
        resolution=128,
        model=None,
    )
    plan = order.plans["the bundle's"]
    fp8 = replace(plan, layers=dict.fromkeys(plan.layers, FP8))
    order = replace(order, plans={**order.plans, "fp8": fp8})
    return measure_deployed(order, lambda phase, done, total: None)


def test_targets_of_equal_graphs_are_drawn_once(report: DeployedReport) -> None:
    assert [each.targets for each in report.deployed] == [("cpu",), ("rtx:sm80", "tensorrt:sm90")]
    assert [each.changed for each in report.deployed] == [0, 0]


def test_where_the_plan_runs_as_it_was_meant_only_the_kernels_differ(report: DeployedReport) -> None:
    on_cpu, on_rtx = report.deployed
    assert on_cpu.ideal_db == on_cpu.own_db
    assert min(on_cpu.ideal_db) > 33
    # Without zero points the integers are others: nearer to its own simulation than to the wish.
    assert mean(on_rtx.own_db) > mean(on_rtx.ideal_db)
    assert min(on_rtx.ideal_db) > 25
    assert on_rtx.ideal_to_full_db == on_cpu.ideal_to_full_db


def test_a_target_that_runs_nothing_of_a_plan_says_why(report: DeployedReport, tmp_path: Path) -> None:
    targets = ["cpu", "rtx:sm80", "tensorrt:sm90"]
    assert [(each.plan, each.target) for each in report.not_deployed] == [("fp8", name) for name in targets]
    missing = report.not_deployed[1]
    assert "rtx:sm80 takes no fp8:tensor/fp8 of a convolution" in missing.reason
    assert report.not_deployed[2].reason.startswith("tensorrt:sm90 would run it in FP8, which ONNX Runtime")
    report.write_csv(tmp_path / "deployed.csv")
    rows = list(csv.DictReader((tmp_path / "deployed.csv").read_text().splitlines()))
    assert [row["target"] for row in rows] == targets * 2
    assert float(rows[1]["ideal_db"]) == pytest.approx(median(report.deployed[1].ideal_db), abs=0.001)
    assert (rows[4]["ideal_db"], rows[4]["not_deployed"]) == ("", missing.reason)


def test_a_back_end_is_named_once_for_all_its_compute_capabilities() -> None:
    assert targets_in_words(("cpu", "rtx:sm80", "rtx:sm86", "tensorrt:sm90")) == (
        "cpu; rtx:sm80, sm86; tensorrt:sm90"
    )


def _refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        run_app(app, ["deployed", *arguments])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_plan_that_was_made_legal_before_is_no_wish(
    emoji_w8a8: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = Rules(find_capability("rtx:sm89"), None, unwritten=False)
    plan = PrecisionPlan.read(emoji_w8a8 / "plan.yaml")
    legalize(plan, LayerTable.read(emoji_w8a8 / "layers.json"), rules).plan.write(tmp_path / "legal.yaml")
    said = _refused([str(emoji_w8a8), "--plan", str(tmp_path / "legal.yaml")], capsys)
    assert "the plan legal was made legal for rtx:sm89" in said


def test_bad_input_is_refused_before_anything_is_drawn(
    emoji_w8a8: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _refused([str(emoji_w8a8), "--target", "rtx:sm90"], capsys)
    assert "the nearest is rtx:sm89" in said
    said = _refused([str(emoji_w8a8), "--target", "cuda:sm90"], capsys)
    assert "cuda:sm90 reads no ONNX graph" in said
    plan = str(emoji_w8a8 / "plan.yaml")
    said = _refused([str(emoji_w8a8), "--plan", plan, "--plan", plan], capsys)
    assert "two plans have one name" in said
