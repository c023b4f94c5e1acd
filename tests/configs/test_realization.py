from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs import target as targets
from mixdq.configs.capability import check_realization
from mixdq.configs.errors import PlanError, TargetError
from mixdq.configs.form import Form
from mixdq.configs.gpu import Gpu
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.plan import PrecisionPlan, Realization, uniform_plan
from mixdq.configs.precision import Precision
from mixdq.configs.target import Target

_W8A8 = Form.parse("int8:channel/int8")


def _plan(table: LayerTable) -> PrecisionPlan:
    return uniform_plan(table, Precision(8, 8), keep=(), protect=(), bos_aware=True, split_shortcuts=True)


def _realized(table: LayerTable, target: str = "rtx:sm89") -> PrecisionPlan:
    forms = {layer.name: _W8A8 for layer in table}
    return replace(_plan(table), realization=Realization(target, forms))


def test_a_plan_without_a_realization_is_written_as_ever(table: LayerTable) -> None:
    plan = _plan(table)
    assert "realization" not in plan.to_yaml()
    assert plan.to_yaml().endswith("version: 1\n")


def test_a_realized_plan_is_read_as_it_was_written(table: LayerTable, tmp_path: Path) -> None:
    plan = _realized(table)
    plan.write(tmp_path / "plan.yaml")
    read = PrecisionPlan.read(tmp_path / "plan.yaml")
    assert read == plan
    assert read.digest == plan.digest != _plan(table).digest


def test_a_realization_of_other_layers_or_other_bits_is_refused(table: LayerTable, tmp_path: Path) -> None:
    text = _realized(table).to_yaml()
    path = tmp_path / "plan.yaml"
    path.write_text(text.replace("    conv_in: int8:channel/int8", "    conv_in: int4:channel/float"))
    with pytest.raises(PlanError, match="the realization gives conv_in as int4:channel/float, the plan W8A8"):
        PrecisionPlan.read(path)
    path.write_text(text.replace("    conv_in: int8", "    conv_out: int8"))
    with pytest.raises(PlanError, match="of other layers than the plan: conv_in, conv_out"):
        PrecisionPlan.read(path)


def test_a_plan_that_is_legal_for_one_target_is_refused_for_another(table: LayerTable) -> None:
    _plan(table).check_target("rtx:sm80")
    _realized(table).check_target("rtx:sm89")
    _realized(table, "tensorrt:sm90").check_target("tensorrt")
    for target in ("rtx:sm80", "cpu", "tensorrt"):
        with pytest.raises(TargetError, match=f"made legal for rtx:sm89, not for {target}: .*legalize"):
            _realized(table).check_target(target)
    assert LayerName("conv_in") in _plan(table).layers


def test_a_plan_that_is_legal_on_another_gpu_is_refused_where_tensorrt_would_build(
    table: LayerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = _realized(table, "tensorrt:sm90")
    machine: list[Gpu | None] = [None]
    monkeypatch.setattr(targets, "find_gpu", lambda: machine[0])
    Target.parse("tensorrt").check(plan)
    machine[0] = Gpu("NVIDIA H200", 90)
    Target.parse("tensorrt").check(plan)
    machine[0] = Gpu("NVIDIA L40", 89)
    with pytest.raises(TargetError, match=r"tensorrt:sm90, .* NVIDIA L40, an sm89; .*tensorrt:sm89"):
        Target.parse("tensorrt").check(plan)


def test_a_plan_in_forms_that_are_not_written_yet_is_refused(table: LayerTable) -> None:
    plan = _realized(table)
    check_realization(plan, "rtx:sm89")
    check_realization(_plan(table), "cpu")
    name = LayerName("conv_in")
    assert plan.realization is not None
    one_scale = replace(
        plan,
        realization=replace(
            plan.realization, forms={**plan.realization.forms, name: Form.parse("int8:tensor/int8")}
        ),
    )
    with pytest.raises(TargetError, match=r"int8:tensor/int8 of conv_in \(of 1 layers\), which mixdq can't"):
        check_realization(one_scale, "rtx:sm89")
    with pytest.raises(TargetError, match="made legal for rtx:sm89, not for cpu"):
        check_realization(plan, "cpu")


def test_a_realization_for_no_target_is_refused(table: LayerTable) -> None:
    with pytest.raises(TargetError, match="the nearest is rtx:sm89"):
        check_realization(_realized(table, "rtx:sm90"), "rtx:sm90")


def test_blocks_that_do_not_divide_a_layers_inputs_are_refused_by_its_name(table: LayerTable) -> None:
    plan = uniform_plan(table, Precision(4, 16), keep=(), protect=(), bos_aware=True, split_shortcuts=True)
    forms = {layer.name: Form.parse("int4:channel/float") for layer in table}
    replace(plan, realization=Realization("rtx:sm89", forms)).check(table)
    name = LayerName("conv_in")
    blocks = {**forms, name: Form.parse("int4:block32/float")}
    inputs = table[name].weight_shape[1]
    with pytest.raises(
        PlanError,
        match=rf"conv_in \(of 1 layers\) can't run as int4:block32/float: its {inputs} inputs don't divide",
    ):
        replace(plan, realization=Realization("rtx:sm89", blocks)).check(table)
