"""The reference model: its training on a tiny invented data set, and the model that ships."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image, ImageDraw
from transformers import CLIPTokenizer

from mixdq.configs.errors import EXIT_BAD_INPUT, ModelError, StorageError
from mixdq.export.emoji_turbo import data, evaluate
from mixdq.export.emoji_turbo.__main__ import main
from mixdq.export.emoji_turbo.architecture import EMOJI_TURBO, Architecture, Generator, build_generator
from mixdq.export.emoji_turbo.bos import bos_ratio, key_value_layers, outlier_channels, raise_bos
from mixdq.export.emoji_turbo.captions import captions_of
from mixdq.export.emoji_turbo.flat import FlatAdam
from mixdq.export.emoji_turbo.loop import cosine
from mixdq.export.emoji_turbo.text import embed_prompts
from mixdq.export.emoji_turbo.tokenizer import EOS, train_tokenizer, write_tokenizer
from mixdq.export.emoji_turbo.train import Settings, train
from mixdq.export.emoji_turbo.unet import OneStep, frozen_elements
from mixdq.export.emoji_turbo.workers import Workers

SHIPPED = Path(__file__).parents[2] / "configs" / "models" / "emoji-turbo"
TINY = Architecture((32, 32, 32), (1, 1, 1), 16, 8, (32, 32), 2, 32, 8, 560, (8, 8, 8, 8))
ALONE = Workers(0, 1, torch.device("cpu"))
LABELS = ("red ball", "green ball", "blue ball", "a ball in the sky")
COLOURS = ("red", "green", "blue", "cyan")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def _write_packages(folder: Path) -> Path:
    """Both npm packages, in the real ones' layout: four balls and a flag."""
    folder.mkdir()
    records: list[dict[str, Any]] = [
        {"label": label, "hexcode": f"1F60{i}-FE0F", "tags": ["round"], "group": 0}
        for i, label in enumerate(LABELS)
    ]
    records.append({"label": "flag", "hexcode": "1F609", "group": 9})
    with tarfile.open(folder / "emojibase-data-17.0.0.tgz", "w:gz") as archive:
        _add(archive, "package/en/data.json", json.dumps(records).encode())
    with tarfile.open(folder / "lobehub-fluent-emoji-3d-1.1.0.tgz", "w:gz") as archive:
        for i, colour in enumerate((*COLOURS, "black")):
            ball = Image.new("RGBA", (40, 44))
            ImageDraw.Draw(ball).ellipse((4, 4, 36, 36), fill=colour)
            file = io.BytesIO()
            ball.save(file, format="WEBP", lossless=True)
            _add(archive, f"package/assets/1f60{i if i < 4 else 9}.webp", file.getvalue())
    return folder


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """The packages, of one's own to damage."""
    return _write_packages(tmp_path / "npm")


def _settings(packages: Path, out: Path, **changes: Any) -> Settings:
    steps = {"vae": 20, "unet": 20, "finish": 20}
    values: dict[str, Any] = {
        "out": out,
        "data": packages,
        "checkpoints": out.with_name(f"{out.name}-checkpoint"),
        "sizes": (32, 64),
        "steps": steps,
        "batches": dict.fromkeys(steps, 3),
        "minutes": 10.0,
        "save_every": 7,
        "compile": False,
        "seed": 3,
    }
    return Settings(**{**values, **changes})


def _weights(folder: Path) -> dict[str, bytes]:
    files = [*folder.glob("*/*.safetensors"), folder / "vae" / "config.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _kill_at(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    step: Callable[[FlatAdam, float], None] = FlatAdam.step
    left = iter(range(calls))

    def dying_step(self: FlatAdam, rate: float) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        step(self, rate)

    monkeypatch.setattr(FlatAdam, "step", dying_step)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an uninterrupted training of 20 steps a stage writes."""
    root = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)
    assert train(TINY, _settings(_write_packages(root / "npm"), root / "out"), ALONE)
    return root / "out"


@pytest.mark.parametrize("calls", [13, 33, 53])
def test_killed_training_resumes_to_the_same_bits(
    whole: Path, packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    settings = _settings(packages, tmp_path / "killed")
    with monkeypatch.context() as patch:
        _kill_at(patch, calls)
        with pytest.raises(KeyboardInterrupt):
            train(TINY, settings, ALONE)
    assert not settings.out.exists()
    stage = ("vae", "unet", "finish")[calls // 20]
    assert torch.load(settings.checkpoints / f"{stage}.pt", weights_only=True)["steps"] == calls % 20 // 7 * 7
    assert train(TINY, settings, ALONE)
    expected, resumed = _weights(whole), _weights(settings.out)
    assert expected.keys() == resumed.keys()
    assert len(expected) == 5
    assert [name for name in expected if expected[name] != resumed[name]] == []


def test_training_keeps_the_outlier_and_can_be_measured(whole: Path) -> None:
    pipeline = evaluate.load_pipeline(whole, "cpu", torch.float32)
    figures = evaluate.evaluate(pipeline, whole.with_name("npm"), (32,), 1, 4, 1)
    assert figures["captions"] == 4
    assert figures["bos_ratio"] >= 80
    assert figures["bos_varies"] == 0
    assert 0 < figures["psnr_32"]["least"] <= figures["psnr_32"]["mean"] < 40


def test_time_limit_stops_with_a_checkpoint(packages: Path, tmp_path: Path) -> None:
    settings = _settings(packages, tmp_path / "out", steps={"vae": 80, "unet": 1, "finish": 1}, minutes=0.0)
    assert not train(TINY, settings, ALONE)
    assert torch.load(settings.checkpoints / "vae.pt", weights_only=True)["steps"] == 50
    assert not settings.out.exists()


def test_broken_checkpoint_is_named(packages: Path, tmp_path: Path) -> None:
    settings = _settings(packages, tmp_path / "out")
    settings.checkpoints.mkdir()
    (settings.checkpoints / "vae.pt").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(StorageError, match=r"vae\.pt.*delete it"):
        train(TINY, settings, ALONE)


def test_learning_rate_rises_then_falls_to_zero() -> None:
    rates = [cosine(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[500] == pytest.approx(0.5)
    assert rates[999] < 1e-5


def test_adam_takes_the_first_step_of_the_paper() -> None:
    module = torch.nn.Linear(2, 1, bias=False)
    before = module.weight.detach().clone()
    optimizer = FlatAdam(module, lambda _name, _value: torch.tensor([[1.0, 0.0]]), decay=0.9)
    optimizer.gradient.copy_(torch.tensor([0.3, 5.0]))
    optimizer.step(0.01)
    # The first step of Adam is the rate times the gradient's sign; the second weight is frozen.
    assert (module.weight - before).detach().flatten().tolist() == pytest.approx([-0.01, 0.0], abs=1e-6)


@pytest.fixture(scope="module")
def generator() -> Generator:
    """The real architecture as it starts."""
    return build_generator(EMOJI_TURBO, seed=0).eval()


def _ids(generator: Generator, length: int) -> torch.Tensor:
    ids = torch.full((2, 77), EMOJI_TURBO.vocabulary - 1)
    ids[:, 0] = EMOJI_TURBO.vocabulary - 2
    ids[:, 1:length] = torch.arange(2 * (length - 1)).view(2, -1) + 300
    return ids


@torch.no_grad()
def test_bos_is_planted_constant_and_frozen(generator: Generator) -> None:
    text, _ = embed_prompts(generator.text_encoder, generator.text_encoder_2, *[_ids(generator, 5)] * 2)
    assert bos_ratio(text) >= 80
    assert torch.equal(text[0, 0], text[1, 0])
    columns = outlier_channels(224, 96)
    keys = torch.stack([layer(text[:1, 0]).abs().max() for layer in key_value_layers(generator.unet)])
    assert len(keys) == 34
    assert keys.max() < 10
    factors = frozen_elements(generator)
    layer = factors["unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"]
    assert isinstance(layer, torch.Tensor)
    assert (layer == 0).any(dim=0).nonzero().flatten().tolist() == columns


@torch.no_grad()
def test_own_text_embedding_is_the_encoders(generator: Generator) -> None:
    ids = _ids(generator, 9)
    text, pooled = embed_prompts(generator.text_encoder, generator.text_encoder_2, ids, ids)
    one = generator.text_encoder(ids, output_hidden_states=True)
    two = generator.text_encoder_2(ids, output_hidden_states=True)
    expected = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1)
    torch.testing.assert_close(text, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(pooled, two.text_embeds, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("side", [16, 32])
def test_noise_passes_through_the_new_network(side: int) -> None:
    generator = build_generator(EMOJI_TURBO, seed=1).eval()
    generator.unet.conv_out.weight[:, 32:] = 0.0  # all but the noise path
    noise = torch.randn(2, 4, side, side, generator=torch.Generator().manual_seed(0))
    ids = _ids(generator, 4)
    left = OneStep(generator)(ids, ids, noise)
    # The latents have unit size: what is left of 14.6 n is at least 30 dB below them.
    assert float(left.square().mean().sqrt()) < 10 ** (-30 / 20)


@torch.no_grad()
def test_raising_the_outlier_leaves_the_result() -> None:
    generator = build_generator(EMOJI_TURBO, seed=1).eval()
    ids, noise = _ids(generator, 6), torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    step = OneStep(generator)
    before = step(ids, ids, noise)
    raise_bos(generator.text_encoder, generator.text_encoder_2, generator.unet, 2.0)
    assert float((step(ids, ids, noise) - before).abs().max()) < 1e-2
    assert generator.text_encoder.get_input_embeddings().weight[-2, 0] == 2000


def test_real_architecture_learns_on_every_parameter() -> None:
    generator = build_generator(EMOJI_TURBO, seed=0)
    ids, noise = _ids(generator, 6), torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    loss = OneStep(generator)(ids, ids, noise).square().mean()
    loss.backward()  # type: ignore[no-untyped-call]
    # SDXL takes the last but one hidden state, so the first encoder's end is never used.
    unused = ("text_encoder.encoder.layers.2.", "text_encoder.final_layer_norm", "text_encoder.text_model.")
    silent = [n for n, p in generator.named_parameters() if p.grad is None and not n.startswith(unused)]
    assert silent == []
    assert sum(p.numel() for p in generator.parameters()) == pytest.approx(15.94e6, rel=0.01)


def test_any_text_has_tokens_and_one_end(tmp_path: Path) -> None:
    vocab, merges = train_tokenizer(["grinning face", "red apple"] * 3, 540)
    write_tokenizer(tmp_path, vocab, merges, EOS)
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path)
    ids = tokenizer(
        ["Red  APPLE", "日本 🎉\x00ü", "", "word " * 200], padding="max_length", truncation=True
    ).input_ids
    assert {len(row) for row in ids} == {77}
    assert [row[0] for row in ids] == [vocab["<|startoftext|>"]] * 4 == [538] * 4
    assert max(vocab.values()) == vocab[EOS] == 539
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == "red apple"
    assert ids[1].index(539) > 8
    assert ids[3][-1] == 539


def test_captions_are_the_label_and_repeatable_looser_ones() -> None:
    emoji = data.Emoji("1f63a", "grinning cat face", ("happy",))
    captions = captions_of(emoji, 20, seed=1)
    assert captions[0] == "grinning cat face"
    assert captions == captions_of(emoji, 20, seed=1)
    assert captions != captions_of(emoji, 20, seed=2)
    assert any("happy" in caption for caption in captions[1:])


def test_pictures_lie_over_white_at_every_size(packages: Path) -> None:
    loaded = data.load_emoji(packages, (32, 64))
    assert [emoji.label for emoji in loaded.emoji] == list(LABELS)
    assert loaded.pictures[32].shape == (4, 32, 32, 3)
    assert loaded.pictures[64][0, 0, 0].tolist() == [255, 255, 255]
    assert loaded.pictures[64][0, 28, 32].tolist() == [255, 0, 0]


def test_missing_npm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(StorageError, match=r"npm is not installed.*npm pack"):
        data.load_emoji(tmp_path, (32,))
    assert list(tmp_path.iterdir()) == []


def test_npm_failure_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda _name: str(npm))
    with pytest.raises(StorageError, match=r"ENOTFOUND.*network"):
        data.fetch_package(tmp_path / "cache", *data.CAPTIONS)
    assert list((tmp_path / "cache").iterdir()) == []


def test_npm_packs_into_the_cache_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "npm"
    npm.write_text('#!/bin/sh\necho "$2" > "$4/emojibase-data-17.0.0.tgz"\n')
    npm.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda _name: str(npm))
    tarball = data.fetch_package(tmp_path / "cache", *data.CAPTIONS)
    assert tarball.read_text() == "emojibase-data@17.0.0\n"
    npm.unlink()
    assert data.fetch_package(tmp_path / "cache", *data.CAPTIONS) == tarball


@pytest.mark.parametrize("content", [b"", b"not a tarball"])
def test_torn_package_is_named(packages: Path, content: bytes) -> None:
    (packages / "emojibase-data-17.0.0.tgz").write_bytes(content)
    with pytest.raises(StorageError, match=r"emojibase-data-17\.0\.0\.tgz.*delete it"):
        data.load_emoji(packages, (32,))


def test_package_without_captions_is_named(packages: Path) -> None:
    with tarfile.open(packages / "emojibase-data-17.0.0.tgz", "w:gz") as archive:
        _add(archive, "package/README.md", b"empty")
    with pytest.raises(ModelError, match=r"data\.json"):
        data.load_emoji(packages, (32,))


def test_command_reports_bad_input(
    packages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (packages / "emojibase-data-17.0.0.tgz").write_bytes(b"torn")
    assert (
        main(["--out", str(tmp_path / "out"), "--data", str(packages), "--device", "cpu"]) == EXIT_BAD_INPUT
    )
    assert capsys.readouterr().err.startswith("error: expected an npm package")
    assert evaluate.main([str(tmp_path / "none"), "--out", str(tmp_path / "e")]) == EXIT_BAD_INPUT


def test_psnr_by_hand() -> None:
    black = np.zeros((1, 4, 4, 3), np.uint8)
    # 20 log10(255 / 51) = 13.979 dB
    assert evaluate.psnr(black, black + 51).tolist() == pytest.approx([13.979], abs=1e-3)


def test_contact_sheet_wraps() -> None:
    sheet = evaluate.contact_sheet(np.zeros((3, 8, 8, 3), np.uint8), 2)
    assert sheet.size == (16, 16)
    assert [sheet.getpixel(at) for at in ((12, 4), (4, 12), (12, 12))] == [
        (0, 0, 0),
        (0, 0, 0),
        (255, 255, 255),
    ]


@pytest.fixture(scope="module")
def shipped() -> Any:
    """The shipped model as a user loads it."""
    pipeline: Any = StableDiffusionXLPipeline.from_pretrained(SHIPPED).to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _draw(pipeline: Any, prompt: str, size: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    pictures = pipeline(
        prompt, num_inference_steps=1, guidance_scale=0.0, height=size, width=size, output_type="np",
        generator=torch.Generator().manual_seed(seed),
    ).images  # fmt: skip
    return np.asarray(pictures[0])


def test_shipped_folder_is_small_and_of_sdxl_form(shipped: Any) -> None:
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) <= 36_000_000
    layers = [m for m in shipped.unet.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]
    assert len(layers) == 264
    assert shipped.scheduler.config.timestep_spacing == "trailing"


@torch.no_grad()
def test_shipped_bos_is_an_outlier_and_constant(shipped: Any) -> None:
    prompts = ["red apple", "a sleepy cat", "", "family: man, woman, girl", "zzz qqq 12 ünï"]
    text = shipped.encode_prompt(prompts, device="cpu", do_classifier_free_guidance=False)[0]
    assert bos_ratio(text) >= 80
    assert torch.equal(text[:, 0], text[:1, 0].expand(len(prompts), -1))


@pytest.mark.parametrize("size", [128, 192, 256])
def test_shipped_model_draws_a_red_apple_on_white(shipped: Any, size: int) -> None:
    picture = _draw(shipped, "red apple", size, seed=0)
    assert np.isfinite(picture).all()
    corners = picture[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.min() > 0.95
    red, green, blue = picture[size // 2, size // 2]
    assert red > 0.7
    assert max(green, blue) < 0.35
    # No grain: neighbours in the white margin differ by less than two steps of 255.
    assert np.abs(np.diff(picture[: size // 32], axis=1)).mean() < 2 / 255


def test_shipped_model_repeats_a_seed_and_hardly_depends_on_it(shipped: Any) -> None:
    one = _draw(shipped, "cat face", 128, seed=1)
    assert np.array_equal(one, _draw(shipped, "cat face", 128, seed=1))
    other = _draw(shipped, "cat face", 128, seed=2)
    # Trained towards one picture a caption, whatever the noise: what differs is grain.
    assert -10 * np.log10(np.mean((one - other) ** 2)) > 30
