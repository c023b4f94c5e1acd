"""The UNet's trial: its plans, and a run of it on the CPU."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mixdq.configs.form import Form
from mixdq.configs.layers import Kind, LayerName, LayerTable
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.plan import PrecisionPlan
from mixdq.eval.speed.made_up_unet import made_up_inputs, made_up_unet, plan_of
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


def test_a_run_times_each_way_and_says_what_it_ran_on(tmp_path: Path) -> None:
    words = [
        "--out",
        tmp_path,
        "--resolution",
        "64",
        "--way",
        "eager",
        "--model",
        "emoji-turbo",
        "--device",
        "cpu",
    ]
    subprocess.run(
        [sys.executable, "-m", "mixdq.eval.speed.unet_trial", *map(str, words)], check=True, timeout=300
    )
    (row,) = csv.DictReader((tmp_path / "unet.csv").read_text().splitlines())
    assert (row["way"], row["resolution"], row["db"]) == ("eager", "64", "inf")
    assert float(row["ms_q1"]) <= float(row["ms"]) <= float(row["ms_q3"])
    assert '"torch"' in (tmp_path / "machine.json").read_text()
