"""A run's stage that makes packages: names of its files, what the bundle says of them, what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.cli import app
from mixdq.compiler.cuda.kernels.tiles import Shape, Tile, TileTable
from mixdq.compiler.cuda.stage import (
    PackageOrder,
    PackagePiece,
    PackageRecord,
    require_compiler,
    tiles_for,
    tiles_in_words,
)
from mixdq.compiler.recipe import Calibration, Recipe, Uniform
from mixdq.compiler.records import StageRecord
from mixdq.configs.bundle import Component, FileRecord, TensorSpec
from mixdq.configs.console import run_app
from mixdq.configs.documents import to_plain
from mixdq.configs.errors import TargetError
from mixdq.configs.gpu import Gpu, find_gpu
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.precision import Precision
from mixdq.configs.target import Layout, Target
from mixdq.export.source import SourceModel

CUDA = Target.parse("cuda:sm90")


def test_packages_of_a_component_share_their_constants(emoji: SourceModel, tmp_path: Path) -> None:
    orders = [
        PackageOrder(Component.UNET, CUDA, size, 128, 1, emoji, tmp_path, with_ranges=True)
        for size in (128, 192, None)
    ]
    assert [order.path for order in orders] == [
        "engines/unet-128.cuda-sm90.pt2",
        "engines/unet-192.cuda-sm90.pt2",
        "engines/unet.cuda-sm90.pt2",
    ]
    assert {order.weights for order in orders} == {"engines/unet.cuda-sm90.weights"}


def test_the_bundle_names_each_package_with_the_constants_of_all() -> None:
    sample, noise = (
        TensorSpec("sample", "float16", (1, 4, 16, 16)),
        TensorSpec("n", "float16", (1, 4, 16, 16)),
    )
    package = PackageRecord("engines/unet-192.pt2", "torch 2.11.0", "H200", (sample,), (noise,))
    compiled = _stage("compile unet 192 cuda:sm90", (package.path,), to_plain(package))
    sizes = {f"engines/unet-{size}.pt2": size << 20 for size in (128, 192)}
    constants = _stage("constants unet cuda:sm90", ("w", "tiles"), sizes)
    record = PackagePiece(Component.UNET, CUDA, 192, compiled, constants).record()
    assert record.file.path == "engines/unet-192.pt2"
    assert [file.path for file in record.weights] == ["w"]
    assert (record.target, record.builder, record.built_for) == ("cuda:sm90", "torch 2.11.0", "H200")
    assert record.inputs == (sample,)
    assert record.scratch_bytes == 192 << 20  # what computing takes beside the constants


def test_tiles_are_those_of_a_table_or_those_that_ship_or_by_rule(tmp_path: Path) -> None:
    tile = Tile(64, 64, 128, 4, 3)
    own = tmp_path / "tiles.json"
    own.write_text(TileTable("NVIDIA L4", {Shape("int8_linear", 1, 2, 3): tile}).to_json())
    assert tiles_for(own, "NVIDIA L4").find(Shape("int8_linear", 1, 2, 3)) == tile
    assert tiles_in_words(own, "NVIDIA L4") == f"1 tuned for NVIDIA L4, of {own}"
    assert tiles_in_words(None, "NVIDIA H200").endswith("tuned for NVIDIA H200, which ship")
    assert not tiles_for(None, "NVIDIA L4").tiles
    assert re.match(
        r"by rule, because none were tuned for NVIDIA L4; .*--tiles", tiles_in_words(None, "NVIDIA L4")
    )


def test_tiles_of_another_gpu_or_for_no_gpu_are_refused(tmp_path: Path) -> None:
    own = tmp_path / "tiles.json"
    own.write_text(TileTable("NVIDIA L4", {}).to_json())
    with pytest.raises(TargetError, match=r"tuned for NVIDIA L4, found NVIDIA H200; tune here with .*tune"):
        tiles_for(own, "NVIDIA H200")
    with pytest.raises(TargetError, match="--tiles is for the kernels of a cuda target, and there is none"):
        BuildOptions(None, strip_weights=False, tiles=own).check_used([Target.parse("cpu")])
    BuildOptions(None, strip_weights=False, tiles=own).check_used([CUDA])


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
def test_a_machine_without_a_gpu_is_refused_before_any_work() -> None:
    with pytest.raises(TargetError, match=r"cuda:sm90 compiles on the GPU .* this machine has none"):
        require_compiler(CUDA)


@pytest.mark.parametrize(
    ("gpu", "message"),
    [
        (
            Gpu("Tesla T4", 75),
            "needs a GPU of compute capability 8.0 or more, found Tesla T4 of 7.5; choose rtx:sm75",
        ),
        (Gpu("NVIDIA L4", 89), "found NVIDIA L4; use --target cuda:sm89 here"),
    ],
)
def test_a_gpu_that_is_too_old_or_another_is_refused_before_any_work(
    gpu: Gpu, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixdq.compiler.cuda.stage.find_gpu", lambda: gpu)
    with pytest.raises(TargetError, match=message):
        require_compiler(CUDA)


@pytest.mark.parametrize("command", ["quantize", "export"])
def test_graphs_of_it_are_refused_with_the_command_that_makes_its_engines(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_app(app, [command, "emoji-turbo", "--target", "cuda:sm90", "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "cuda:sm90 has no graphs: its packages are compiled from the model's modules" in said
    assert not (tmp_path / "out").exists()


def test_one_package_for_all_resolutions_is_refused(
    emoji: SourceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a machine with the GPU.
    monkeypatch.setattr("mixdq.compiler.recipe.require_builder", lambda target: None)
    with pytest.raises(TargetError, match=r"one package a resolution.*leave --layout dynamic out"):
        _recipe(Layout.DYNAMIC, BuildOptions(timing_cache=None, strip_weights=False)).check(emoji)
    with pytest.raises(
        TargetError, match="--strip-weights is for TensorRT's engines, and cuda:sm90 has none"
    ):
        _recipe(Layout.PER_RESOLUTION, BuildOptions(timing_cache=None, strip_weights=True)).check(emoji)
    _recipe(Layout.PER_RESOLUTION, BuildOptions(timing_cache=None, strip_weights=False)).check(emoji)


def _stage(name: str, paths: tuple[str, ...], value: object) -> StageRecord:
    files = tuple(FileRecord(path, "0" * 64, 1) for path in paths)
    return StageRecord(name=name, key="k", files=files, value=value, seconds=1.0, peak_mib=1.0)


def _recipe(layout: Layout, build: BuildOptions) -> Recipe:
    return Recipe(
        choice=ModelChoice("emoji-turbo"),
        targets=(CUDA,),
        resolutions=(128,),
        batch=1,
        plan=Uniform(Precision(8, 8), (), (), bos_aware=True, split_shortcuts=True),
        ranges=Calibration(("a cat",), seed=0),
        layout=layout,
        build=build,
    )
