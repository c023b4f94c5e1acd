"""For all tests: a tiny bundle whose pictures can be worked out by hand; emoji-turbo, also compiled."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import helper
from onnx.parser import parse_model
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.progress import SilentWatch
from mixdq.compiler.recipe import Calibration, Recipe, Uniform, read_prompts
from mixdq.compiler.run import run
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
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.presets import preset_for, shipped_model
from mixdq.configs.target import Layout, Target
from mixdq.export.source import SourceModel, open_source

# Where the tests run in the background, SIGINT is ignored, which the commands that they start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

BATCH = 2
TOKENS = 77
_HEADER = '<ir_version: 10, opset_import: ["" : 20]>'


def _text_encoder(width: int, pooled: bool) -> str:
    more = ", float[2,1] pooled" if pooled else ""
    tail = "last = Gather <axis=1> (ids, end) pooled = Mul (last, tenth)" if pooled else ""
    return f"""{_HEADER} text (int64[2,77] input_ids) => (float[2,77,{width}] hidden_states{more})
    <float tenth = {{0.1}}, int64[1] end = {{3}}, int64[1] axis = {{2}},
     int64[3] tiles = {{1, 1, {width}}}> {{
        ids = Cast <to=1> (input_ids)
        rows = Unsqueeze (ids, axis)
        scaled = Mul (rows, tenth)
        hidden_states = Tile (scaled, tiles)
        {tail}
    }}"""


def _unet(side: int) -> str:
    """noise = 0.1 sample + 0.001 timestep + 0.01 mean(text) + 0.02 pooled + 0.0001 mean(time_ids)."""
    return f"""{_HEADER} unet (float[2,4,{side},{side}] sample, float timestep,
        float[2,77,5] encoder_hidden_states, float[2,1] text_embeds, float[2,6] time_ids)
        => (float[2,4,{side},{side}] noise_prediction)
    <float a = {{0.1}}, float b = {{0.001}}, float c = {{0.01}}, float d = {{0.02}}, float e = {{0.0001}},
     int64[2] both = {{1, 2}}, int64[1] one = {{1}}, int64[4] shape = {{-1, 1, 1, 1}}> {{
        text = ReduceMean <keepdims=0> (encoder_hidden_states, both)
        ids = ReduceMean <keepdims=0> (time_ids, one)
        pooled = ReduceMean <keepdims=0> (text_embeds, one)
        from_time = Mul (timestep, b)
        from_text = Mul (text, c)
        from_pooled = Mul (pooled, d)
        from_ids = Mul (ids, e)
        flat = Sum (from_time, from_text, from_pooled, from_ids)
        column = Reshape (flat, shape)
        scaled = Mul (sample, a)
        noise_prediction = Add (scaled, column)
    }}"""


def _vae(side: int) -> str:
    """images = 0.05 times the first three latent channels, each latent pixel eight times as large."""
    return f"""{_HEADER} vae (float[2,4,{side},{side}] latents) => (float[2,3,{8 * side},{8 * side}] images)
    <int64[3] rgb = {{0, 1, 2}}, float gain = {{0.05}}, float[4] scales = {{1.0, 1.0, 8.0, 8.0}}> {{
        channels = Gather <axis=1> (latents, rgb)
        dimmed = Mul (channels, gain)
        images = Resize <mode="nearest"> (dimmed, "", scales)
    }}"""


def _tensors(values: list[onnx.ValueInfoProto]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            value.name,
            helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
            tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim),
        )
        for value in values
    )


def _engine(root: Path, component: Component, text: str, resolution: int | None) -> EngineRecord:
    model = parse_model(text)
    onnx.checker.check_model(model)
    path = root / f"{component}-{resolution}.onnx"
    path.write_bytes(model.SerializeToString())
    return EngineRecord(
        component=component,
        target="cpu",
        resolution=resolution,
        file=FileRecord.of(root, path),
        weights=(),
        builder="onnxruntime",
        built_for="cpu",
        inputs=_tensors(list(model.graph.input)),
        outputs=_tensors(list(model.graph.output)),
    )


def _tokenizer(root: Path) -> FileRecord:
    """A token a byte: `a` is 66, BOS 256, EOS 257, with no merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(alphabet)} | {"<bos>": 256, "<eos>": 257}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("<eos>", 257), ("<bos>", 256))
    path = root / "tokenizer.json"
    tokenizer.save(str(path))
    return FileRecord.of(root, path)


def make_bundle(root: Path) -> Bundle:
    """Writes a bundle for 16 and 24 pixels, two images at once."""
    tokenizer = _tokenizer(root)
    engines = [
        _engine(root, Component.TEXT_ENCODER, _text_encoder(2, pooled=False), None),
        _engine(root, Component.TEXT_ENCODER_2, _text_encoder(3, pooled=True), None),
    ]
    for resolution in (16, 24):
        engines.append(_engine(root, Component.UNET, _unet(resolution // 8), resolution))
        engines.append(_engine(root, Component.VAE_DECODER, _vae(resolution // 8), resolution))
    bundle = Bundle(
        model=ModelIdentity("tiny", "0" * 64),
        plan_digest="1" * 64,
        plan_summary="FP16",
        granularity="none",
        layers_digest="2" * 64,
        ranges_digest=None,
        resolutions=(16, 24),
        batch=BATCH,
        pipeline=PipelineSpec(
            latent_channels=4,
            downsampling=8,
            vae_scaling_factor=0.5,
            max_tokens=TOKENS,
            bos_token_id=256,
            eos_token_id=257,
            pad_token_ids=(257, 0),
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
            bos_digest="3" * 64,
        ),
        tokenizers=(tokenizer, tokenizer),
        engines=tuple(engines),
    )
    bundle.write(root)
    return bundle


@pytest.fixture(scope="module", autouse=True)
def _as_many_threads_as_before() -> Iterator[None]:
    """Modules that have torch compute in one thread leave it as it was: sums depend on it."""
    torch = sys.modules.get("torch")
    before = None if torch is None else torch.get_num_threads()
    yield
    if torch is not None:
        torch.set_num_threads(before)


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Path:
    """A bundle's folder, of one's own to damage."""
    root = tmp_path / "bundle"
    root.mkdir()
    make_bundle(root)
    return root


SwapEngine = Callable[[Component, str], None]


@pytest.fixture
def swap_engine(tiny_bundle: Path) -> SwapEngine:
    """Replaces an engine at 16 pixels by another graph, as if the bundle had been built so."""

    def swap(component: Component, text: str) -> None:
        bundle = Bundle.read(tiny_bundle)
        old = bundle.find(component, "cpu", 16)
        new = _engine(tiny_bundle, component, text, old.resolution)
        engines = tuple(new if engine == old else engine for engine in bundle.engines)
        replace(bundle, engines=engines).write(tiny_bundle)

    return swap


@pytest.fixture(scope="session")
def emoji() -> SourceModel:
    """emoji-turbo, opened."""
    return open_source(ModelChoice("emoji-turbo"))


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    """emoji-turbo's folder to damage: files are hard links, to be replaced and never written into."""
    shipped = shipped_model("emoji-turbo")
    assert shipped is not None
    folder = tmp_path / "model"

    def link(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)

    shutil.copytree(shipped, folder, copy_function=link)
    return folder


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a hub to reach nor anything that was fetched from it before."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


EMOJI_RESOLUTIONS = (128, 192)


def _compile_emoji(out: Path, plan: Uniform) -> Path:
    recipe = Recipe(
        choice=ModelChoice("emoji-turbo"),
        targets=(Target.parse("cpu"),),
        resolutions=EMOJI_RESOLUTIONS,
        batch=1,
        plan=plan,
        ranges=Calibration(read_prompts(preset_for("emoji-turbo").prompts_file, 8), seed=0),
        layout=Layout.PER_RESOLUTION,
        build=BuildOptions(timing_cache=None, strip_weights=False),
    )
    run(recipe, out, work=out.parent / "work", jobs=2, watch=SilentWatch())
    return out


@pytest.fixture(scope="session")
def emoji_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the bundles of emoji-turbo and, in `work`, what they share; read only."""
    return tmp_path_factory.mktemp("emoji")


@pytest.fixture(scope="session")
def emoji_full(emoji_folder: Path) -> Path:
    """emoji-turbo at full precision for the CPU, at 128 and 192 pixels; read only."""
    plan = Uniform(FP16, keep=(), protect=(), bos_aware=False, split_shortcuts=False)
    return _compile_emoji(emoji_folder / "full", plan)


@pytest.fixture(scope="session")
def emoji_w8a8(emoji_folder: Path) -> Path:
    """emoji-turbo at W8A8 as MixDQ does it, for the CPU, at 128 and 192 pixels; read only."""
    protect = preset_for("emoji-turbo").protect
    plan = Uniform(Precision(8, 8), keep=(), protect=protect, bos_aware=True, split_shortcuts=True)
    return _compile_emoji(emoji_folder / "w8a8", plan)
