"""The whole training on a tiny invented data set: coloured circles, some held out."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw

from mixdq.configs.errors import EXIT_BAD_INPUT, EvaluationError, StorageError
from mixdq.configs.files import sha256_of_file
from mixdq.eval.alignment import __main__ as command
from mixdq.eval.alignment.drawn import drawn_pictures
from mixdq.eval.alignment.network import Shape
from mixdq.eval.alignment.shipped import read_model
from mixdq.eval.alignment.split import Side, side
from mixdq.eval.alignment.styles import other_styles
from mixdq.eval.alignment.train import AccuracyReport, Settings, train
from mixdq.export.emoji_turbo.data import Emoji, load_emoji
from mixdq.export.emoji_turbo.flat import FlatAdam

SMALL = Shape(
    pixels=32, widths=(8,), depths=(1,), vocabulary=1600, tokens=8, text_width=16, text_layers=1,
    text_heads=2, embedding=8,
)  # fmt: skip
# Held out: banana, fox and their like; the sides are fixed by the names.
LABELS = ("rocket", "banana", "cat", "fox", "grinning face", "automobile", "dog", "bus", "lion", "crown")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


@pytest.fixture(name="packages")
def _packages(tmp_path: Path) -> Path:
    """Both npm packages, in the real ones' layout."""
    folder = tmp_path / "npm"
    folder.mkdir()
    records: list[dict[str, Any]] = [
        {"label": label, "hexcode": f"1F60{place}", "tags": ["round"], "group": 0}
        for place, label in enumerate(LABELS)
    ]
    with tarfile.open(folder / "emojibase-data-17.0.0.tgz", "w:gz") as archive:
        _add(archive, "package/en/data.json", json.dumps(records).encode())
    with tarfile.open(folder / "lobehub-fluent-emoji-3d-1.1.0.tgz", "w:gz") as archive:
        for place in range(len(LABELS)):
            ball = Image.new("RGBA", (40, 40))
            ImageDraw.Draw(ball).ellipse((4, 4, 36, 36), fill=(25 * place, 0, 255 - 25 * place))
            file = io.BytesIO()
            ball.save(file, format="WEBP", lossless=True)
            _add(archive, f"package/assets/1f60{place}.webp", file.getvalue())
    return folder


def _settings(packages: Path, out: Path, **changes: Any) -> Settings:
    torch.set_num_threads(1)
    values: dict[str, Any] = {
        "out": out,
        "data": packages,
        "shape": SMALL,
        "steps": 8,
        "emoji": 4,
        "resolutions": (),
        "styles": False,
        "minutes": 10.0,
        "validate": False,
        "token_loss": 0.2,
        "seed": 0,
        "limit": None,
    }
    return Settings(**{**values, **changes})


def test_training_writes_a_model_that_loads_and_its_accuracy(packages: Path, tmp_path: Path) -> None:
    report = train(_settings(packages, tmp_path / "out"), "cpu")
    assert report is not None
    _, config = read_model(tmp_path / "out")
    assert config.weights_sha256 == report.weights_sha256
    written = json.loads((tmp_path / "out" / "accuracy.json").read_text())
    assert written["weights_sha256"] == config.weights_sha256
    assert written["unseen"]["count"] == sum(side(label) is Side.HELD_OUT for label in LABELS) > 2
    assert written["seen"]["count"] + written["unseen"]["count"] == len(LABELS)


def test_a_killed_training_goes_on_to_the_same_weights(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(_settings(packages, tmp_path / "whole"), "cpu")
    step: Callable[[FlatAdam, float], None] = FlatAdam.step
    left = iter(range(5))

    def dying_step(self: FlatAdam, rate: float) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        step(self, rate)

    monkeypatch.setattr(FlatAdam, "step", dying_step)
    with pytest.raises(KeyboardInterrupt):
        train(_settings(packages, tmp_path / "killed"), "cpu")
    assert not (tmp_path / "killed").exists()
    monkeypatch.setattr(FlatAdam, "step", step)
    again = train(_settings(packages, tmp_path / "killed"), "cpu")
    assert isinstance(whole, AccuracyReport)
    assert again == whole


def test_the_command_reports_and_uses_the_shape_that_ships(
    packages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--out", str(tmp_path / "out"), "--data", str(packages), "--device", "cpu", "--no-styles"]
    options += ["--resolutions", "--steps", "1", "--emoji", "2", "--limit"]
    assert command.main([*options, "1"]) == EXIT_BAD_INPUT
    assert "expected two emoji or more to train on and to measure, found" in capsys.readouterr().err
    assert command.main([*options, "10"]) == 0
    digest = sha256_of_file(tmp_path / "out" / "model.safetensors")
    assert f'"weights_sha256": "{digest}"' in capsys.readouterr().out


def test_other_styles_need_a_renderer(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "resvg_py", None)
    with pytest.raises(EvaluationError, match="pip install resvg-py"):
        train(_settings(packages, tmp_path / "out", styles=True), "cpu")


def test_another_style_takes_the_place_of_no_picture(tmp_path: Path, packages: Path) -> None:
    pytest.importorskip("resvg_py")
    for name in ("fluent-emoji-flat-1.2.6", "noto-1.2.9"):
        icons = {"width": 8, "height": 8, "icons": {"x": {"body": '<path fill="red" d="M0 0h8v8H0z"/>'}}}
        with tarfile.open(packages / f"iconify-json-{name}.tgz", "w:gz") as archive:
            _add(archive, "package/icons.json", json.dumps(icons).encode())
            _add(archive, "package/chars.json", json.dumps({"1f600": "x"}).encode())
    data = load_emoji(packages, (16,))
    found = other_styles(packages, data.emoji, data.pictures[16])
    assert found.shape == (2, len(LABELS), 16, 16, 3)
    assert (found[:, 0] == (255, 0, 0)).all()
    assert (found[:, 1:] == data.pictures[16][1:]).all()


def test_a_cache_of_another_run_is_refused(tmp_path: Path) -> None:
    cache = tmp_path / "drawn.npy"
    cache.write_bytes(b"no array")
    emoji = (Emoji("1f600", "red apple", ()),)
    with pytest.raises(StorageError, match="delete it and run again"):
        drawn_pictures(emoji, (128,), 32, "cpu", 0, cache)
    cache.unlink()
    drawn = drawn_pictures(emoji, (128,), 32, "cpu", 0, cache)
    assert drawn.shape == (1, 1, 32, 32, 3)
    assert drawn.std() > 20
    with pytest.raises(StorageError, match="of another run"):
        drawn_pictures(emoji * 2, (128,), 32, "cpu", 0, cache)
