from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.bundle import (
    Bundle,
    Component,
    EngineRecord,
    FileRecord,
    PipelineSpec,
    SchedulerKind,
    SchedulerSpec,
    TensorSpec,
    TimestepSpacing,
)
from mixdq.configs.errors import BundleError, DigestError
from mixdq.configs.files import sha256_of_text
from mixdq.configs.layers import ModelIdentity


def _file(root: Path, name: str, content: str) -> FileRecord:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return FileRecord.of(root, path)


def _engine(root: Path, component: Component, target: str, resolution: int | None) -> EngineRecord:
    file = _file(
        root, f"engines/{component}-{resolution}.{target.replace(':', '-')}", f"{target}{resolution}"
    )
    return EngineRecord(
        component=component,
        target=target,
        resolution=resolution,
        file=file,
        weights=(_file(root, "engines/unet.weights", "weights"),),
        builder="a builder 1.0",
        built_for="cpu",
        inputs=(TensorSpec("sample", "float32", (1, 4, 8, 8)), TensorSpec("timestep", "float32", ())),
        outputs=(TensorSpec("noise", "float32", (1, 4, 8, 8)),),
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    engines = [_engine(tmp_path, Component.TEXT_ENCODER, "cpu", None)]
    engines += [
        _engine(tmp_path, Component.UNET, target, resolution)
        for target in ("rtx:sm89", "cpu")
        for resolution in (64, 128)
    ]
    tokenizer = _file(tmp_path, "tokenizer.json", "{}")
    return Bundle(
        model=ModelIdentity("tiny", "a" * 64),
        plan_digest="b" * 64,
        plan_summary="W8A8 (BOS-aware)",
        granularity="none",
        layers_digest="c" * 64,
        ranges_digest=None,
        resolutions=(64, 128),
        batch=1,
        pipeline=PipelineSpec(
            latent_channels=4,
            downsampling=8,
            vae_scaling_factor=0.13025,
            max_tokens=77,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_ids=(1, 2),
            scheduler=SchedulerSpec(
                train_timesteps=1000,
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                kind=SchedulerKind.EULER_ANCESTRAL,
                spacing=TimestepSpacing.TRAILING,
                steps_offset=1,
                original_inference_steps=None,
                timestep_scaling=None,
            ),
            bos_digest="d" * 64,
        ),
        tokenizers=(tokenizer, tokenizer),
        engines=tuple(engines),
    )


def test_a_bundle_survives_its_file(bundle: Bundle, tmp_path: Path) -> None:
    bundle.write(tmp_path)
    assert Bundle.read(tmp_path) == bundle


def test_a_folder_without_a_bundle_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"holds no readable bundle .*`mixdq-compile run MODEL --out"):
        Bundle.read(tmp_path)


def test_a_bundle_of_another_version_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    replace(bundle, version=3).write(tmp_path)
    with pytest.raises(
        BundleError, match="has version 3, this mixdq reads version 2; build the bundle again"
    ):
        Bundle.read(tmp_path)


def test_a_bundle_with_a_field_too_many_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    bundle.write(tmp_path)
    path = tmp_path / "bundle.json"
    path.write_text(path.read_text().replace('"batch": 1', '"batch": 1, "mood": "good"'))
    with pytest.raises(BundleError, match=r"bundle\.json is not a valid bundle: mood: .*; build the bundle"):
        Bundle.read(tmp_path)


def test_a_bundle_without_a_field_is_to_be_built_again(bundle: Bundle, tmp_path: Path) -> None:
    bundle.write(tmp_path)
    path = tmp_path / "bundle.json"
    path.write_text(path.read_text().replace('  "granularity": "none",\n', ""))
    with pytest.raises(BundleError, match=r"granularity: .*; build the bundle again with this mixdq"):
        Bundle.read(tmp_path)


def test_the_version_is_looked_at_before_the_form(tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    path.write_text('{"version": 3, "mood": "good"}')
    with pytest.raises(
        BundleError, match="has version 3, this mixdq reads version 2; build the bundle again"
    ):
        Bundle.read(tmp_path)
    path.write_text('{"mood": "good"}')
    with pytest.raises(
        BundleError, match="has no version, this mixdq reads version 2; build the bundle again"
    ):
        Bundle.read(tmp_path)
    path.write_text("[]")
    with pytest.raises(BundleError, match=r"bundle\.json is not a valid dict: .*; build the bundle again"):
        Bundle.read(tmp_path)


def test_an_engine_is_found_by_component_target_and_resolution(bundle: Bundle) -> None:
    found = bundle.find(Component.UNET, "cpu", 128)
    assert (found.component, found.target, found.resolution) == (Component.UNET, "cpu", 128)


def test_an_engine_without_a_resolution_serves_them_all(bundle: Bundle) -> None:
    assert bundle.find(Component.TEXT_ENCODER, "cpu", 64) is bundle.find(Component.TEXT_ENCODER, "cpu", 128)


@pytest.mark.parametrize(
    ("component", "target", "resolution"),
    [
        (Component.UNET, "cpu", 96),
        (Component.UNET, "tensorrt", 64),
        (Component.VAE_DECODER, "cpu", 64),
        (Component.TEXT_ENCODER, "rtx:sm89", 64),
    ],
)
def test_an_engine_that_is_not_there_is_refused_with_what_is(
    bundle: Bundle, component: Component, target: str, resolution: int
) -> None:
    with pytest.raises(BundleError) as refused:
        bundle.find(component, target, resolution)
    assert str(refused.value) == (
        f"the bundle has no {component.value} engine for {target} at {resolution} pixels; "
        "it was built for cpu, rtx:sm89 at 64, 128"
    )


def test_a_record_holds_a_relative_path_the_size_and_the_digest(tmp_path: Path) -> None:
    record = _file(tmp_path, "engines/unet.onnx", "an engine")
    assert record == FileRecord("engines/unet.onnx", sha256_of_text("an engine"), 9)
    assert record.check(tmp_path) == tmp_path / "engines" / "unet.onnx"


def test_a_bundle_that_was_moved_is_still_whole(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    record = _file(tmp_path / "here", "unet.onnx", "an engine")
    (tmp_path / "here").rename(tmp_path / "there")
    assert record.check(tmp_path / "there").read_text() == "an engine"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    record = _file(tmp_path, "unet.onnx", "an engine")
    (tmp_path / "unet.onnx").unlink()
    with pytest.raises(BundleError, match=r"unet\.onnx is missing .*run `mixdq-compile run` again"):
        record.check(tmp_path)
    (tmp_path / "unet.onnx").mkdir()
    with pytest.raises(BundleError, match=r"unet\.onnx is missing"):
        record.check(tmp_path)


@pytest.mark.parametrize("content", ["an engin", "an enginf", "", "an engine "])
def test_a_changed_or_truncated_file_is_refused(tmp_path: Path, content: str) -> None:
    record = _file(tmp_path, "unet.onnx", "an engine")
    (tmp_path / "unet.onnx").write_text(content)
    with pytest.raises(
        DigestError, match=r"unet\.onnx was changed or damaged .*run `mixdq-compile run` again"
    ):
        record.check(tmp_path)
