"""One graph with symbolic sizes in place of one a resolution, and other weights behind the same graphs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.graphs import GraphFiles, write_graphs
from mixdq.compiler.pipeline import Goal, first_stages_of, stages_of
from mixdq.compiler.progress import SilentWatch
from mixdq.compiler.recipe import Calibration, Recipe
from mixdq.compiler.records import Book, StageRecord, key_of
from mixdq.compiler.report import RunReport
from mixdq.compiler.run import run
from mixdq.compiler.saved_recipe import SavedRecipe
from mixdq.configs.bundle import SYMBOLIC, Bundle, Component
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import ORT_DISABLED_OPTIMIZERS, Dialect, Layout, Target
from mixdq.export.layers import unet_inputs
from mixdq.export.source import SourceModel, open_source
from mixdq.runtime import load

Command = Callable[..., subprocess.CompletedProcess[str]]
PARTS = ("unet", "vae_decoder", "text_encoder_2", "text_encoder")


# The graphs.


@pytest.fixture(scope="module")
def symbolic(
    emoji: SourceModel, emoji_folder: Path, emoji_w8a8: Path, tmp_path_factory: pytest.TempPathFactory
) -> GraphFiles:
    """emoji-turbo's W8A8 UNet as one graph for all sizes; read only."""
    graphs = write_graphs(
        skeleton=emoji_folder / "work" / "source" / "unet.onnx",
        reader=emoji.weights["unet"].open(),
        component=Component.UNET,
        out=tmp_path_factory.mktemp("symbolic"),
        dialect=Dialect.ORT,
        layout=Layout.DYNAMIC,
        resolutions=(128, 192),
        batch=1,
        table=LayerTable.read(emoji_w8a8 / "layers.json"),
        plan=PrecisionPlan.read(emoji_w8a8 / "plan.yaml"),
        ranges=RangeTable.read(emoji_w8a8 / "ranges.json"),
        report=lambda phase, done, total: None,
    )
    assert list(graphs) == [None]
    return graphs[None]


def _run(graph: Path, feeds: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    session = onnxruntime.InferenceSession(graph, disabled_optimizers=list(ORT_DISABLED_OPTIMIZERS))
    return np.asarray(session.run(None, feeds)[0])


@pytest.mark.parametrize("resolution", [128, 192])
def test_one_graph_for_all_sizes_computes_what_the_graph_of_each_does(
    resolution: int, emoji: SourceModel, emoji_w8a8: Path, symbolic: GraphFiles
) -> None:
    torch.manual_seed(resolution)
    side = resolution // 8
    inputs = unet_inputs(emoji, batch=1, height=side, width=side, dtype=torch.float32, device="cpu")
    feeds = {name: value.numpy() for name, value in inputs.items()}
    wanted = _run(emoji_w8a8 / "onnx" / "ort" / f"unet-{resolution}.onnx", feeds)
    np.testing.assert_allclose(_run(symbolic.graph, feeds), wanted, rtol=0, atol=1e-5)


def test_only_the_sides_of_the_picture_are_symbolic(symbolic: GraphFiles) -> None:
    shapes = {spec.name: spec.shape for spec in (*symbolic.inputs, *symbolic.outputs)}
    assert shapes["sample"] == shapes["noise_prediction"] == (1, 4, SYMBOLIC, SYMBOLIC)
    assert {name for name, shape in shapes.items() if SYMBOLIC in shape} == {"sample", "noise_prediction"}


def test_the_graphs_of_all_resolutions_read_one_file_of_weights(emoji_w8a8: Path) -> None:
    engines = [engine for engine in Bundle.read(emoji_w8a8).engines if engine.component is Component.UNET]
    assert [engine.resolution for engine in engines] == [128, 192]
    assert len({engine.weights for engine in engines}) == 1


# The bundle.


@pytest.fixture(scope="module")
def dynamic_recipe(tiny_run: Path) -> Recipe:
    """`tiny_run`'s own, but for the layout, the sizes and RTX."""
    recipe = SavedRecipe.read(tiny_run).recipe(tiny_run)
    assert isinstance(recipe.ranges, Calibration)
    return replace(
        recipe,
        targets=(Target.parse("cpu"),),
        resolutions=(64, 96),
        ranges=replace(recipe.ranges, resolutions=(64,)),
        layout=Layout.DYNAMIC,
        build=BuildOptions(timing_cache=None, strip_weights=False),
    )


@pytest.fixture(scope="module")
def dynamic_run(dynamic_recipe: Recipe, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with one engine for 64 and 96 pixels; read only."""
    folder = tmp_path_factory.mktemp("dynamic")
    work = Path(shutil.copytree(tiny_run / "work", folder / "work"))
    run(dynamic_recipe, folder / "out", work=work, jobs=2, watch=SilentWatch())
    return folder / "out"


def test_a_bundle_of_one_engine_for_all_sizes_says_so(dynamic_run: Path) -> None:
    bundle = Bundle.read(dynamic_run)
    assert bundle.resolutions == (64, 96)
    assert {(engine.component, engine.resolution) for engine in bundle.engines} == {
        (component, None) for component in Component
    }
    shapes = {spec.name: spec.shape for engine in bundle.engines for spec in engine.inputs}
    assert shapes["sample"] == shapes["latents"] == (1, 4, SYMBOLIC, SYMBOLIC)
    assert shapes["input_ids"] == (1, 77)
    assert not any(stage.startswith("export") for stage in _ran(dynamic_run))


def test_it_draws_at_every_size(dynamic_run: Path) -> None:
    pipeline = load(dynamic_run)
    for side in (64, 96):
        assert pipeline("a red apple", seed=1, resolution=side).size == (side, side)


def test_a_builder_gets_the_sizes_of_all_resolutions(
    dynamic_recipe: Recipe, dynamic_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(dynamic_run.parent, tmp_path, dirs_exist_ok=True)
    recipe = replace(dynamic_recipe, targets=(Target.parse("rtx:sm89"),))
    source = open_source(recipe.choice)
    out, work = tmp_path / "out", tmp_path / "work"
    run(recipe, out, work=work, jobs=2, watch=SilentWatch(), goal=Goal.GRAPHS)
    books = Book(work, None), Book(out, None)
    done: dict[str, StageRecord] = {}
    profiles = {}
    for stage in stages_of(recipe, source, *books, Goal.BUNDLE, _first(recipe, source, books[0])):
        if stage.name.startswith("build"):
            profiles[stage.name] = stage.call(done).arguments[4]
        elif (found := stage.book.find(stage.name, key_of(stage.name, stage.facts(done)))) is not None:
            done[stage.name] = found
        if stage.name == "build text_encoder rtx:sm89":
            break
    unet = profiles["build unet rtx:sm89"]
    assert isinstance(unet, tuple)
    assert [profile["sample"] for profile in unet] == [(1, 4, 8, 8), (1, 4, 12, 12)]
    assert {profile["encoder_hidden_states"] for profile in unet} == {(1, 77, 64)}
    assert profiles["build vae_decoder rtx:sm89"] == ({"latents": (1, 4, 8, 8)}, {"latents": (1, 4, 12, 12)})
    assert profiles["build text_encoder rtx:sm89"] == ()


def _first(recipe: Recipe, source: SourceModel, work: Book) -> dict[str, StageRecord]:
    records: dict[str, StageRecord] = {}
    for stage in first_stages_of(recipe, source, work):
        record = work.find(stage.name, key_of(stage.name, stage.facts(records)))
        assert record is not None
        records[stage.name] = record
    return records


# Other weights.


def _ran(root: Path) -> set[str]:
    return {stage.name for stage in RunReport.read(root).stages if stage.ran_now}


SYNTHETIC = ("--weights", "synthetic", "--resolution", 64, "--prompt-count", 2, "--target", "cpu")


def test_other_weights_are_put_into_the_same_skeletons_and_give_the_same_bundle_anew(
    tiny_model: Path, tiny_run: Path, tmp_path: Path, mixdq_compile: Command
) -> None:
    shutil.copytree(tiny_run / "work", tmp_path / "work")
    folders = ("--out", tmp_path / "out", "--work", tmp_path / "work")
    done = mixdq_compile("run", tiny_model, *folders, *SYNTHETIC)
    assert done.returncode == 0, done.stderr
    everything = {stage.name for stage in RunReport.read(tmp_path / "out").stages}
    assert everything - _ran(tmp_path / "out") == {f"export {part}" for part in PARTS}

    # From nothing, in another folder: also the exports make the same files again.
    done = mixdq_compile("run", tiny_model, "--out", tmp_path / "again", *SYNTHETIC)
    assert done.returncode == 0, done.stderr
    assert _ran(tmp_path / "again") == everything
    bundle = Bundle.read(tmp_path / "out")
    assert Bundle.read(tmp_path / "again") == bundle
    assert bundle.model.digest != Bundle.read(tiny_run).model.digest
    assert bundle.layers_digest == Bundle.read(tiny_run).layers_digest

    pixels = np.asarray(load(tmp_path / "out")("a red apple", seed=1))
    assert pixels.std() > 5
