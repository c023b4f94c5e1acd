from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from mixdq.configs.documents import parse
from mixdq.configs.errors import EvaluationError
from mixdq.eval.ablation.cases import CASES
from mixdq.eval.reproduce.columns import COLUMNS
from mixdq.eval.reproduce.recipe import Recipe, RecipeName, RecipeRow, read_recipe


@pytest.mark.parametrize("name", list(RecipeName))
def test_every_recipe_names_rows_and_columns_that_there_are(name: RecipeName) -> None:
    recipe = read_recipe(name)
    cases = {case.name for case in CASES}
    names = [row.name for row in recipe.rows]
    assert len(set(names)) == len(names)
    assert {row.case for row in recipe.rows if row.case is not None} <= cases
    assert {row.over for row in recipe.rows if row.over is not None} <= {row.name for row in recipe.made}
    assert set(recipe.columns) <= set(COLUMNS)
    assert {key for row in recipe.rows for key in row.paper} <= set(recipe.columns)


@pytest.mark.parametrize("name", [RecipeName.TABLE1, RecipeName.TABLE3, RecipeName.FIG6])
def test_the_paper_s_figures_are_those_of_the_ablation(name: RecipeName) -> None:
    known = {case.name: case.paper_fid[0] for case in CASES if case.paper_fid is not None}
    rows = [row for row in read_recipe(name).made if row.case is not None]
    assert {row.case: row.paper["fid"] for row in rows} == {row.case: known[row.case or ""] for row in rows}


def test_methods_that_are_not_implemented_stand_beside_with_the_paper_s_figures() -> None:
    rows = {row.label: row for row in read_recipe(RecipeName.TABLE2).rows}
    assert {label for label, row in rows.items() if row.not_made} == {"PTQD", "Q-Diffusion", "EDA-DM"}
    assert rows["PTQD"].paper == {"fid": 340.74}


def test_full_precision_comes_first_because_the_others_are_compared_with_it() -> None:
    for name in (RecipeName.TABLE1, RecipeName.TABLE2, RecipeName.TABLE3, RecipeName.FIG6, RecipeName.FIG7):
        assert read_recipe(name).rows[0].case == "full"


@pytest.mark.parametrize("ways", [{}, {"case": "full", "precision": "FP8"}])
def test_a_row_is_made_in_one_way(ways: Mapping[str, str]) -> None:
    with pytest.raises(EvaluationError, match="row one has"):
        parse(RecipeRow, {"name": "one", "label": "one", **ways}, "a recipe", EvaluationError)


def test_a_recipe_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="colums"):
        parse(Recipe, {"title": "", "cites": "", "count": 0, "rows": [], "colums": []}, "it", EvaluationError)
