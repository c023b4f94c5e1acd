from __future__ import annotations

from pathlib import Path

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.shipped_search import shipped_plan
from mixdq.configs.target import Target
from mixdq.eval.grid.candidates import Rows, candidates_of
from mixdq.export.source import SourceModel

CPU = (Target.parse("cpu"),)


@pytest.fixture
def plan() -> PrecisionPlan:
    path = shipped_plan("emoji-turbo", 5, 8)
    assert path is not None
    return PrecisionPlan.read(path)


def _rows(*plans: Path, bits: tuple[float, ...] = ()) -> Rows:
    return Rows(bits, 8, plans, ())


def test_bits_are_the_plans_of_the_compiler(emoji: SourceModel) -> None:
    found = candidates_of(_rows(bits=(16, 8, 5)), emoji.identity, CPU)
    assert [one.name for one in found] == ["full", "w8a8", "w5a8"]
    assert "shipped w5a8" in found[2].words


def test_weights_alone_have_a_name_of_their_own(emoji: SourceModel) -> None:
    found = candidates_of(Rows((16, 4), 16, (), ()), emoji.identity, CPU)
    assert [one.name for one in found] == ["full", "w4a16"]


def test_a_file_that_is_called_plan_takes_its_folders_name(
    emoji: SourceModel, plan: PrecisionPlan, tmp_path: Path
) -> None:
    plan.write(tmp_path / "mine" / "plan.yaml")
    (found,) = candidates_of(_rows(tmp_path / "mine" / "plan.yaml"), emoji.identity, CPU)
    assert found.name == "mine"


def test_three_files_of_one_plan_are_refused_with_their_names(
    emoji: SourceModel, plan: PrecisionPlan, tmp_path: Path
) -> None:
    """The earlier experiment's three YAML files for 8, 6 and 4 bits held one configuration."""
    files = [tmp_path / f"weight_{bits}.yaml" for bits in (8, 6, 4)]
    for file in files:
        plan.write(file)
    with pytest.raises(EvaluationError, match="weight_8 and weight_6 are the same configuration under two"):
        candidates_of(_rows(*files), emoji.identity, CPU)


def test_a_file_of_the_plan_that_bits_choose_is_refused(
    emoji: SourceModel, plan: PrecisionPlan, tmp_path: Path
) -> None:
    plan.write(tmp_path / "mine.yaml")
    with pytest.raises(EvaluationError, match="w5a8 and mine are the same configuration"):
        candidates_of(_rows(tmp_path / "mine.yaml", bits=(5,)), emoji.identity, CPU)


def test_two_rows_of_one_name_are_refused(emoji: SourceModel) -> None:
    with pytest.raises(EvaluationError, match="two rows would be called w8a8"):
        candidates_of(_rows(bits=(8, 8)), emoji.identity, CPU)
