from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.options import calibration_of
from mixdq.compiler.recipe import Calibration, Recipe, Uniform
from mixdq.configs.errors import TargetError
from mixdq.configs.model_choice import ModelChoice, VaePrecision
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.quantizing import Activations
from mixdq.configs.target import Layout, Target
from mixdq.export.source import SourceModel, open_architecture


@pytest.fixture(scope="module")
def source() -> SourceModel:
    return open_architecture(ModelChoice("emoji-turbo"))


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        choice=ModelChoice("emoji-turbo"),
        targets=(Target.parse("cpu"),),
        resolutions=(128,),
        batch=1,
        plan=Uniform(FP16, (), (), bos_aware=False, split_shortcuts=False),
        ranges=Calibration(("a cat",), 0),
        layout=Layout.PER_RESOLUTION,
        build=BuildOptions(timing_cache=None, strip_weights=False),
    )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (BuildOptions(timing_cache=None, strip_weights=True), "--strip-weights"),
        (BuildOptions(timing_cache=Path("timings"), strip_weights=False), "--timing-cache"),
    ],
)
def test_an_option_of_tensorrt_alone_is_refused_without_a_target_of_its(
    options: BuildOptions, named: str, recipe: Recipe, source: SourceModel
) -> None:
    recipe.check(source)
    with pytest.raises(TargetError, match=rf"{named} is for TensorRT's engines.*leave {named} out"):
        replace(recipe, build=options).check(source)


def test_centres_are_refused_where_all_targets_take_zero_points(recipe: Recipe, source: SourceModel) -> None:
    pytest.importorskip("tensorrt_rtx")
    plan = Uniform(
        Precision(8, 8), (), (), bos_aware=True, split_shortcuts=True, activations=Activations.CENTERED
    )
    both = (Target.parse("cpu"), Target.parse("rtx:sm89"))
    replace(recipe, plan=plan, targets=both).check(source)
    with pytest.raises(
        TargetError, match=r"centered activations .* and cpu takes them: .*--activations plain"
    ):
        replace(recipe, plan=plan).check(source)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_turing_is_refused_a_vae_that_its_builder_has_no_kernels_for(
    precision: VaePrecision, recipe: Recipe, source: SourceModel
) -> None:
    pytest.importorskip("tensorrt_rtx")
    targets = (Target.parse("rtx:sm75"),)
    choice = ModelChoice("emoji-turbo", vae="some/vae", vae_precision="float16")
    replace(recipe, targets=targets, choice=choice).check(source)
    wide = replace(choice, vae_precision=precision)
    with pytest.raises(TargetError, match=rf"no {precision} kernels for rtx:sm75.*--vae-precision float16"):
        replace(recipe, targets=targets, choice=wide).check(source)


def test_sdxl_turbo_is_calibrated_at_the_size_it_was_trained_at(source: SourceModel) -> None:
    full = open_architecture(ModelChoice("sdxl-turbo"))
    assert calibration_of(full, None, None, None, None, None).resolutions == (512,)
    assert calibration_of(full, None, None, None, [1024, 768], None).resolutions == (768, 1024)
    assert calibration_of(source, None, None, None, None, None).resolutions is None
