"""A whole ablation of emoji-turbo, two rows of three pictures, through the real command."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mixdq.configs.console import run_app
from mixdq.configs.layers import Group, LayerName, LayerTable
from mixdq.configs.ranges import RangeTable
from mixdq.configs.sensitivity import Metric, Operand, SensitivityTable
from mixdq.eval.ablation.report import Ablation
from mixdq.eval.cli import app

PROMPTS = ("strawberry", "owl", "fox")


def _sensitivity(path: Path, table: LayerTable) -> Path:
    """Scores drawn from a seed: plans are what they may be."""
    draw, widths = random.Random(0), (2, 4, 8)

    def scores(content_alone: bool) -> Mapping[LayerName, tuple[float, ...]]:
        layers = [layer for layer in table if not content_alone or layer.group is Group.CONTENT]
        return {layer.name: tuple(sorted(draw.random() for _ in widths)) for layer in layers}

    SensitivityTable(
        model=table.model,
        layers_digest=table.digest,
        measurement=None,
        widths=dict.fromkeys(Operand, widths),
        scores={o: {Metric.SQNR: scores(False), Metric.SSIM: scores(True)} for o in Operand},
    ).write(path)
    return path


def _run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        run_app(app, ["ablation", *map(str, words)])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors: threads that wait for each other would take ten times as long where cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, emoji_folder: Path, emoji_full: Path) -> Path:
    """Prompts, sensitivities, training pictures, and what an earlier run exported."""
    root = tmp_path_factory.mktemp("ablation")
    shutil.copytree(emoji_folder / "work", root / "work")
    (root / "prompts.txt").write_text("\n".join(PROMPTS))
    _sensitivity(root / "sensitivity.json", LayerTable.read(root / "work" / "layers.json"))
    training = root / "training"
    training.mkdir()
    captions = []
    for place, prompt in enumerate(PROMPTS):
        pixels = np.random.default_rng(place).integers(0, 255, (128, 128, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(training / f"{place}.png")
        captions.append({"file": f"{place}.png", "caption": prompt})
    (training / "captions.json").write_text(json.dumps({"pictures": captions, "version": 1}))
    return root


def _words(inputs: Path) -> list[object]:
    return [
        *("emoji-turbo", "--sensitivity", inputs / "sensitivity.json", "--out", inputs / "out"),
        *("--prompts", inputs / "prompts.txt", "--count", 3, "--training", inputs / "training"),
        *("--work", inputs / "work", "--calibration-count", 2, "--bootstrap", 200, "--columns", 2),
    ]


@pytest.fixture(scope="module")
def whole(inputs: Path) -> Path:
    """The folder of an ablation of two rows; read only."""
    # A control may fail on three pictures: that is exit code 1, and all files are written.
    assert _run(*_words(inputs), "--rows", "w8a8-naive", "--keep-bundles") in (0, 1)
    return inputs / "out"


def test_a_row_has_its_plan_pictures_scores_and_costs(whole: Path) -> None:
    found = Ablation.read(whole)
    full, naive = found.rows
    assert (full.name, full.plan, naive.plan) == ("full", "FP16", "W8A8 (not BOS-aware, split shortcuts)")
    assert [path.name for path in sorted((whole / "pictures" / "w8a8-naive").glob("*.png"))] == [
        "0000.png",
        "0001.png",
        "0002.png",
    ]
    assert (full.costs.weight_bits, naive.costs.weight_bits, naive.costs.activation_bits) == (16, 8, 8)
    assert 2 * naive.costs.packed_bytes == full.costs.packed_bytes
    assert full.costs.bops == 4 * naive.costs.bops
    psnr = [row.score("PSNR dB") for row in (full, naive)]
    assert [score and score.count for score in psnr] == [3, 3]
    assert psnr[0] is not None
    assert psnr[1] is not None
    assert psnr[0].value == 120
    assert 5 < psnr[1].value < 30
    assert found.header.sensitivity_digest == SensitivityTable.read(whole.parent / "sensitivity.json").digest


def test_pictures_are_compared_with_training_pictures_pair_by_pair(whole: Path) -> None:
    found = Ablation.read(whole)
    assert found.training_count == 3
    for row in found.rows:
        assert [score.metric for score in row.training] == [
            "FID-EffLite0",
            "KID-EffLite0",
            "PSNR dB",
            "SSIM (whole picture)",
        ]
    comparison = found.rows[1].comparison
    assert comparison is not None
    assert (comparison.against, comparison.metric) == ("full", "FID-EffLite0 to training pictures")


def test_the_sheet_has_a_row_a_configuration_and_a_column_a_prompt(whole: Path) -> None:
    with Image.open(whole / "samples.png") as sheet:
        width, height = sheet.size
    # Two pictures of 128 beside the labels, two rows of them under the headings.
    assert 2 * 128 < width < 4 * 128 + 200
    assert 2 * 128 < height < 4 * 128 + 200
    assert "| W8A8 naive: the same bits everywhere |" in (whole / "ablation.md").read_text()


def test_the_same_command_makes_nothing_again_and_gives_the_same_figures(
    whole: Path, inputs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = Ablation.read(whole)
    kept = {path: path.stat().st_mtime_ns for path in (whole / "pictures").rglob("*.png")}
    kept |= {path: path.stat().st_mtime_ns for path in (whole / "scores").glob("*.json")}
    assert _run(*_words(inputs), "--rows", "w8a8-naive", "--keep-bundles") in (0, 1)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert Ablation.read(whole).rows == before.rows
    assert "build" not in capfd.readouterr().err


def test_a_picture_that_was_lost_is_drawn_again_to_the_same_bytes(whole: Path, inputs: Path) -> None:
    lost = whole / "pictures" / "w8a8-naive" / "0001.png"
    before = lost.read_bytes()
    lost.unlink()
    assert _run(*_words(inputs), "--rows", "w8a8-naive", "--keep-bundles") in (0, 1)
    assert lost.read_bytes() == before


def test_bundles_are_removed_unless_they_are_to_be_kept(whole: Path, inputs: Path) -> None:
    assert {path.name for path in (whole / "bundles").iterdir()} == {"full", "w8a8-naive"}
    assert _run(*_words(inputs), "--rows", "w8a8-naive") in (0, 1)
    assert list((whole / "bundles").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--seed", 7), "holds another ablation: prompts_digest was"),
        (("--count", 4), "the file holds 3 prompts, and 4 from 0 were asked for"),
        (("--ratio", 0.9), "holds another ablation: ratio was None, is 0.9"),
        (("--rows", "w9a9"), "--rows names w9a9"),
        (("--calibration-count", 3), "holds another ablation: calibration was prompts 2 ("),
        (("--plan", "w5a8"), "names no row"),
        (("--plan", "w5a8=plan.yaml"), "may be of w5a8-mixdq or w5a8-noise"),
        (("--training", "nowhere"), "nowhere is no folder"),
        (("--prompts", "nowhere.txt"), "the file of prompts nowhere.txt does not exist"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    whole: Path,
    inputs: Path,
    capfd: pytest.CaptureFixture[str],
    change: tuple[object, ...],
    words: str,
) -> None:
    assert _run(*_words(inputs), "--rows", "w8a8-naive", *change) == 2
    error = capfd.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_roles_are_not_judged_with_other_ranges_than_the_rows_had(
    whole: Path, inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(inputs / "work" / "layers.json", tmp_path)
    ranges = RangeTable.read(inputs / "work" / "ranges.json")
    assert ranges.calibration == Ablation.read(whole).header.calibration
    replace(ranges, calibration=replace(ranges.calibration, seed=7)).write(tmp_path / "ranges.json")
    words = ("--rows", "w8a8-naive", "--keep-bundles", "--by-role", "--work", tmp_path)
    assert _run(*_words(inputs), *words) == 2
    assert "seed 7, pixels 128, steps 1, and the rows on prompts 2 (" in capfd.readouterr().err
    assert not (whole / "by-role.json").exists()


def test_sensitivities_of_another_model_are_refused_before_anything_is_made(
    inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((inputs / "sensitivity.json").read_text())
    content["model"]["digest"] = "f" * 64
    (tmp_path / "other.json").write_text(json.dumps(content))
    words = [*_words(inputs), "--sensitivity", tmp_path / "other.json", "--out", tmp_path / "out"]
    assert _run(*words) == 2
    assert "was measured on emoji-turbo" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
