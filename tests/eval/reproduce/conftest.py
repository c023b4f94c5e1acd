"""A recipe as it would be asked for from the command line, and two that are quick."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixdq.eval.quality.bootstrap import Bootstrap
from mixdq.eval.quality.request import Weights
from mixdq.eval.reproduce.recipe import Measure, Recipe, RecipeName, RecipeRow
from mixdq.eval.reproduce.request import Load, Request

MakeRequest = Callable[..., Request]


@pytest.fixture
def make_request(tmp_path: Path) -> MakeRequest:
    """A request for emoji-turbo with the command line's defaults, but for what is named."""

    def make(**named: Any) -> Request:
        usual: dict[str, Any] = {
            "recipe": RecipeName.TABLE1,
            "model": "emoji-turbo",
            "weights": None,
            "out": tmp_path / "out",
            "work": tmp_path / "work",
            "prompts": None,
            "count": None,
            "seed": 0,
            "resolution": None,
            "sensitivity": (),
            "plans": (),
            "reference": None,
            "scorers": Weights(),
            "device": "cpu",
            "simulate": False,
            "partial": False,
            "calibration_count": None,
            "bootstrap": Bootstrap(200, 0),
            "repeats": 2,
            "plan_count": 60,
            "load": Load(1, 1000.0, (), 0),
            "command": "mixdq-eval reproduce",
        }
        return Request(**usual | named)

    return make


@pytest.fixture(scope="session")
def two_rows() -> Recipe:
    """Full precision and FP8, which no solver and no sensitivities are needed for."""
    return Recipe(
        title="two rows",
        cites="a table",
        count=1024,
        rows=(
            RecipeRow("full", "FP16", case="full", paper={"fid": 10.0}),
            RecipeRow("fp8", "FP8", precision="FP8", over="full", paper={"fid": 20.0}),
            RecipeRow("other", "another method", not_made="is not implemented", paper={"fid": 30.0}),
        ),
        columns=("fid", "clip", "alignment", "psnr", "storage"),
        measures=(Measure.QUALITY,),
        remarks=("a remark",),
    )
