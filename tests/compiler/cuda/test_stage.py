"""A run's stage that makes packages: names of its files, what the bundle says of them, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.cuda.stage import PackageOrder, PackagePiece, PackageRecord, require_compiler
from mixdq.compiler.recipe import Calibration, Recipe, Uniform
from mixdq.compiler.records import StageRecord
from mixdq.configs.bundle import Component, FileRecord, TensorSpec
from mixdq.configs.documents import to_plain
from mixdq.configs.errors import TargetError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.precision import Precision
from mixdq.configs.target import Layout, Target
from mixdq.export.source import SourceModel

CUDA = Target.parse("cuda:sm90")


def test_packages_of_a_component_share_their_constants(emoji: SourceModel, tmp_path: Path) -> None:
    order = PackageOrder(Component.UNET, CUDA, (128, 192), (128, 192), 1, emoji, tmp_path, True)
    assert [order.path(size) for size in order.sizes] == [
        "engines/unet-128.cuda-sm90.pt2",
        "engines/unet-192.cuda-sm90.pt2",
    ]
    assert order.path(None) == "engines/unet.cuda-sm90.pt2"
    assert order.weights == "engines/unet.cuda-sm90.weights"


def test_the_bundle_names_each_package_with_the_constants_of_all() -> None:
    sample, noise = (
        TensorSpec("sample", "float16", (1, 4, 16, 16)),
        TensorSpec("n", "float16", (1, 4, 16, 16)),
    )
    packages = [
        PackageRecord(size, f"engines/unet-{size}.pt2", "w", "torch 2.11.0", "H200", (sample,), (noise,))
        for size in (128, 192)
    ]
    files = tuple(FileRecord(path, "0" * 64, 1) for path in ("w", *(one.path for one in packages)))
    stage = StageRecord(
        name="compile unet cuda:sm90",
        key="k",
        files=files,
        value=[to_plain(one) for one in packages],
        seconds=1.0,
        peak_mib=1.0,
    )
    record = PackagePiece(Component.UNET, CUDA, 192, stage).record()
    assert record.file.path == "engines/unet-192.pt2"
    assert [file.path for file in record.weights] == ["w"]
    assert (record.target, record.builder, record.built_for) == ("cuda:sm90", "torch 2.11.0", "H200")
    assert record.inputs == (sample,)


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
def test_a_machine_without_a_gpu_is_refused_before_any_work() -> None:
    with pytest.raises(TargetError, match=r"cuda:sm90 compiles on the GPU .* this machine has none"):
        require_compiler(CUDA)


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
