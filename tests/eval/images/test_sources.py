"""emoji-turbo from a bundle and from the reference: the same noise, so the same pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mixdq.configs.bundle import Bundle
from mixdq.configs.errors import EvaluationError, MixdqError, RequestError, TargetError
from mixdq.configs.model_choice import ModelChoice
from mixdq.eval.images import reference_source as reference_module
from mixdq.eval.images.bundle_source import bundle_source
from mixdq.eval.images.draw import draw_set
from mixdq.eval.images.order import order_pictures
from mixdq.eval.images.read import load_image, read_set
from mixdq.eval.images.reference_source import reference_source
from mixdq.eval.images.source import PictureSource
from mixdq.eval.similarity import psnr_db
from mixdq.export.reference import ReferencePipeline
from mixdq.export.source import SourceModel, open_source

PROMPTS = ("red apple", "a sleepy cat, in FRENCH café!", "word " * 100, "猫", "owl")


def _bundle(folder: Path, steps: int = 1) -> PictureSource:
    return bundle_source(
        folder, target="cpu", device="cpu", resolution=128, steps=steps, batch=None, jobs=None
    )


def _reference(
    model: SourceModel, steps: int = 1, precision: str = "float32", batch: int | None = None
) -> PictureSource:
    return reference_source(
        model, device="cpu", precision=precision, resolution=128, steps=steps, batch=batch
    )


def _draw(source: PictureSource, folder: Path, count: int = 2) -> Path:
    pictures = order_pictures(PROMPTS, seed=11, start=0, count=count, allow_duplicates=False)
    draw_set(source, pictures, folder)
    return folder


def _likeness(one: Path, other: Path) -> list[float]:
    """PSNR of each pair, in dB."""
    ours, theirs = read_set(one), read_set(other)
    assert ours.prompts_digest == theirs.prompts_digest
    return [
        psnr_db(load_image(one, a), load_image(other, b))
        for a, b in zip(ours.images, theirs.images, strict=True)
    ]


def _with_scheduler(bundle: Path, folder: Path, name: str) -> tuple[Path, SourceModel]:
    """A bundle and its model with another sampler; the bundle's files are links."""
    model = open_source(ModelChoice("emoji-turbo", scheduler=name))
    folder.mkdir()
    for path in bundle.iterdir():
        if path.name != "bundle.json":
            (folder / path.name).symlink_to(path)
    built = Bundle.read(bundle)
    spec = model.pipeline_spec(built.pipeline.bos_digest)
    replace(built, pipeline=spec).write(folder)
    return folder, model


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_full_precision_bundle_draws_the_reference_s_pictures(
    emoji_full: Path, emoji: SourceModel, tmp_path: Path, steps: int
) -> None:
    ours = _draw(_bundle(emoji_full, steps), tmp_path / "ours", count=5 if steps == 1 else 2)
    theirs = _draw(_reference(emoji, steps), tmp_path / "theirs", count=5 if steps == 1 else 2)
    assert min(_likeness(ours, theirs)) >= 60
    assert read_set(ours).painter.model == read_set(theirs).painter.model


def test_lcm_draws_the_reference_s_pictures_too(emoji_full: Path, tmp_path: Path) -> None:
    bundle, model = _with_scheduler(emoji_full, tmp_path / "bundle", "lcm")
    ours = _draw(_bundle(bundle, 4), tmp_path / "ours", count=1)
    theirs = _draw(_reference(model, 4), tmp_path / "theirs", count=1)
    assert min(_likeness(ours, theirs)) >= 60


def test_the_reference_s_pictures_do_not_depend_on_their_batch(emoji: SourceModel, tmp_path: Path) -> None:
    alone = _draw(_reference(emoji, steps=2, batch=1), tmp_path / "alone", count=3)
    together = _draw(_reference(emoji, steps=2, batch=2), tmp_path / "together", count=3)
    assert min(_likeness(alone, together)) >= 60


def test_the_same_command_gives_the_same_bytes_and_pictures_of_different_things(
    emoji_w8a8: Path, tmp_path: Path
) -> None:
    one, two = (_draw(_bundle(emoji_w8a8), tmp_path / name) for name in ("one", "two"))
    assert read_set(one).images == read_set(two).images
    first, second = (np.asarray(Image.open(one / name)) for name in ("0000.png", "0001.png"))
    assert first.shape == second.shape == (128, 128, 3)
    assert np.abs(first.astype(int) - second.astype(int)).mean() > 10


def test_a_picture_that_the_reference_draws_anew_has_the_same_bytes(
    emoji: SourceModel, tmp_path: Path
) -> None:
    before = read_set(_draw(_reference(emoji, batch=2), tmp_path, count=3)).images
    (tmp_path / "0001.png").unlink()
    assert read_set(_draw(_reference(emoji, batch=2), tmp_path, count=3)).images == before


def test_the_reference_goes_on_with_the_threads_that_the_set_began_with(
    emoji: SourceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, own = _reference(emoji, batch=1), torch.get_num_threads()
    began = replace(source.arrangement, threads=own + 1)
    _draw(replace(source, arrangement=began), tmp_path)
    (tmp_path / "0001.png").unlink()
    seen = []

    class Noting(ReferencePipeline):
        def decode(self, latents: torch.Tensor) -> np.ndarray:
            seen.append(torch.get_num_threads())
            return super().decode(latents)

    monkeypatch.setattr(reference_module, "ReferencePipeline", Noting)
    _draw(_reference(emoji), tmp_path)
    assert seen == [own + 1]
    assert torch.get_num_threads() == own
    assert read_set(tmp_path).arrangements == (began,)


def test_a_model_that_does_not_fit_into_memory_is_streamed_to_the_same_bytes(
    emoji: SourceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _draw(_reference(emoji), tmp_path / "whole", count=1)
    monkeypatch.setattr(reference_module, "available_mib", lambda: 40.0)
    streamed = _draw(_reference(emoji), tmp_path / "streamed", count=1)
    assert read_set(whole).images == read_set(streamed).images


def test_half_precision_is_near_and_not_the_same(emoji: SourceModel, tmp_path: Path) -> None:
    half = _draw(_reference(emoji, precision="bfloat16"), tmp_path / "half")
    full = _draw(_reference(emoji), tmp_path / "full")
    assert read_set(half).painter.plan == "bfloat16, VAE float32"
    assert all(15 < likeness < 60 for likeness in _likeness(half, full))


def test_a_bundle_and_a_reference_never_share_a_folder(
    tiny_bundle: Path, emoji: SourceModel, tmp_path: Path
) -> None:
    tiny = bundle_source(
        tiny_bundle, target="cpu", device="cpu", resolution=16, steps=1, batch=None, jobs=None
    )
    _draw(tiny, tmp_path / "out")
    with pytest.raises(
        EvaluationError,
        match=r"its kind was bundle, is reference; its model was tiny \(0{12}…\), is emoji-turbo .*"
        "plan was FP16, is float32",
    ):
        _draw(_reference(emoji), tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"resolution": 100}, RequestError, "nearest are 96 and 128"),
        ({"steps": 1001}, RequestError, "from 1 to 1000"),
        ({"precision": "int8"}, RequestError, "float32, float16, bfloat16, not 'int8'"),
        ({"device": "tpu"}, TargetError, "use cpu or cuda"),
    ],
)
def test_what_the_reference_can_t_draw_is_refused_before_it_is_loaded(
    emoji: SourceModel, changes: dict[str, object], kind: type[MixdqError], message: str
) -> None:
    asked = {"device": "cpu", "precision": "float32", "resolution": 128, "steps": 1, "batch": None}
    with pytest.raises(kind, match=message):
        reference_source(emoji, **(asked | changes))  # type: ignore[arg-type]


def test_no_gpu_is_said_with_the_reason(emoji: SourceModel) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(TargetError, match=r"needs an NVIDIA GPU.*--device cpu"):
        reference_source(emoji, device="cuda", precision="float32", resolution=128, steps=1, batch=None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 20}, "16, 24 pixels, not of 20"),
        ({"steps": 0}, "from 1 to 1000"),
        ({"device": "tpu"}, "unknown device"),
        ({"target": "rtx:sm89"}, "no text_encoder engine for rtx:sm89"),
        ({"target": "npu"}, "npu"),
    ],
)
def test_what_a_bundle_can_t_draw_is_refused_before_it_is_loaded(
    tiny_bundle: Path, changes: dict[str, object], message: str
) -> None:
    asked = {
        "target": "cpu",
        "device": "cpu",
        "resolution": 16,
        "steps": 1,
        "batch": None,
        "jobs": None,
    }
    with pytest.raises(MixdqError, match=message):
        bundle_source(tiny_bundle, **(asked | changes))  # type: ignore[arg-type]
