"""A recipe of two rows, three prompts and real pictures, through the engine; and bad input."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from mixdq.configs.console import run_app
from mixdq.configs.errors import EvaluationError
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import uniform_plan
from mixdq.configs.precision import Precision
from mixdq.configs.shipped_search import shipped_layers
from mixdq.eval.cli import app
from mixdq.eval.quality.bootstrap import Bootstrap
from mixdq.eval.quality.pictures import open_drawn
from mixdq.eval.quality.request import Weights
from mixdq.eval.reproduce.recipe import Measure, Recipe, RecipeName
from mixdq.eval.reproduce.reproduce import reproduce
from mixdq.eval.reproduce.request import Load, Request
from mixdq.eval.reproduce.result import Reproduction
from mixdq.eval.reproduce.rows import compute_reduction
from mixdq.eval.reproduce.trial import make_trial
from mixdq.eval.reproduce.workshop import open_workshop
from mixdq.export.source import SourceModel

PROMPTS = ("strawberry", "owl", "owl")
MakeRequest = Callable[..., Request]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors: threads that wait for each other would take ten times as long where cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _make(recipe: Recipe, request: Request) -> tuple[Reproduction, list[str]]:
    said: list[str] = []
    found = reproduce(
        recipe, request, Console(quiet=True), lambda phase: lambda done, total: None, said.append
    )
    return found, said


def _layers() -> LayerTable:
    path = shipped_layers("emoji-turbo")
    assert path is not None
    return LayerTable.read(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, two_rows: Recipe) -> tuple[Request, Reproduction]:
    """A request, and what it gave; its folders are read only."""
    root = tmp_path_factory.mktemp("reproduce")
    (root / "prompts.txt").write_text("\n".join(PROMPTS))
    request = Request(
        recipe=RecipeName.TABLE2,
        model="emoji-turbo",
        weights=None,
        out=root / "out",
        work=root / "work",
        prompts=root / "prompts.txt",
        count=None,
        seed=0,
        resolution=128,
        sensitivity=(),
        plans=(),
        reference=None,
        scorers=Weights(),
        device="cpu",
        simulate=True,
        partial=False,
        calibration_count=2,
        bootstrap=Bootstrap(200, 0),
        repeats=2,
        plan_count=60,
        load=Load(1, 1000.0, (), 0),
        command="mixdq-eval reproduce table2 emoji-turbo",
    )
    return request, _make(two_rows, request)[0]


def test_rows_that_are_made_have_figures_and_the_others_their_source_s(
    whole: tuple[Request, Reproduction],
) -> None:
    full, fp8, other = whole[1].rows
    assert (full.plan, fp8.plan) == ("FP16", "FP8 (not BOS-aware, split shortcuts)")
    assert fp8.ours["storage"].value == 2
    assert 10 < fp8.ours["psnr"].value < 40
    assert {"fid", "psnr"}.isdisjoint(full.ours)
    assert (other.ours, other.note, other.paper) == ({}, "is not implemented", {"fid": 30.0})
    assert whole[1].settings["prompts"] == "3"
    assert whole[1].settings["FID"] == "FID-EffLite0 to full precision's pictures"
    assert set(whole[1].not_measured) == {"FID", "CLIP", "ImageReward"}


def test_the_folder_holds_the_table_in_three_forms(whole: tuple[Request, Reproduction]) -> None:
    out = whole[0].out
    assert {path.name for path in out.iterdir()} == {
        "reproduce.json",
        "table2.json",
        "table2.csv",
        "table2.md",
    }
    assert Reproduction.read(out / "table2.json").rows == whole[1].rows


def test_the_same_request_draws_and_scores_nothing_again(
    whole: tuple[Request, Reproduction], two_rows: Recipe
) -> None:
    request, before = whole
    files = [*(request.work / "pictures").rglob("*.png"), *(request.work / "scores").rglob("*.json")]
    kept = {path: path.stat().st_mtime_ns for path in files}
    assert len([path for path in kept if path.suffix == ".png"]) == 6
    found, said = _make(two_rows, request)
    assert found.rows == before.rows
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert [line.split(":")[0] for line in said] == [" 1 of 2  FP16", " 2 of 2  FP8"]


def test_another_recipe_takes_the_pictures_and_not_the_folder(
    whole: tuple[Request, Reproduction], two_rows: Recipe, tmp_path: Path
) -> None:
    other = replace(whole[0], recipe=RecipeName.TABLE1)
    with pytest.raises(EvaluationError, match="holds the results of table2, not of table1"):
        _make(two_rows, other)
    files = sorted((other.work / "pictures").rglob("*.png"))
    found, _ = _make(two_rows, replace(other, out=tmp_path / "out"))
    assert found.rows == whole[1].rows
    assert sorted((other.work / "pictures").rglob("*.png")) == files


def test_a_simulation_s_manifest_says_that_it_is_one(whole: tuple[Request, Reproduction]) -> None:
    (folder,) = (whole[0].work / "pictures").glob("*/fp8")
    painter = open_drawn(folder).manifest.painter
    assert (painter.kind, painter.target) == ("simulation", "simulation")
    assert painter.plan == "FP8 (not BOS-aware, split shortcuts), simulated"


def test_photographs_are_what_fid_is_against(
    whole: tuple[Request, Reproduction], two_rows: Recipe, tmp_path: Path
) -> None:
    (drawn,) = (whole[0].work / "pictures").glob("*/full")
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for path in drawn.glob("*.png"):
        shutil.copy(path, photographs)
    request = replace(whole[0], reference=photographs, out=tmp_path / "out")
    found, _ = _make(two_rows, request)
    full, fp8, _ = found.rows
    assert found.settings["FID"] == "FID-EffLite0 to the reference pictures"
    assert abs(full.ours["fid"].value) < 1e-3
    assert fp8.ours["fid"].value > 1


def test_fewer_prompts_than_were_asked_for_are_refused(
    whole: tuple[Request, Reproduction], two_rows: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(EvaluationError, match="the file holds 3 prompts, and 4 from 0"):
        _make(two_rows, replace(whole[0], count=4, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--prompts", "nowhere.txt"), "--prompts: there is no nowhere.txt"),
        (("--seed", "7"), "seed was 0, is 7"),
        (("--plan", "w5a8-mixdq"), "names no row"),
        (("--resolution", "100"), "resolution 100 is not a multiple of"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    whole: tuple[Request, Reproduction],
    capfd: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    expected: str,
) -> None:
    request = whole[0]
    usual = [
        *("reproduce", "table2", "emoji-turbo", "--out", request.out, "--work", request.work, "--simulate"),
        *("--prompts", request.prompts, "--resolution", 128),
    ]
    with pytest.raises(SystemExit) as ended:
        run_app(app, [*map(str, usual), *words])
    error = capfd.readouterr().err
    assert ended.value.code == 2
    assert expected in error
    assert error.count("\n") == 1


def test_what_is_missing_is_a_list_and_exit_code_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    usual = ("reproduce", "table2", "emoji-turbo", "--out", str(tmp_path / "out"))
    with pytest.raises(SystemExit) as ended:
        run_app(app, [*usual, "--prompts", "nowhere.txt", "--clip", "nowhere"])
    first, *others = capfd.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert first == "error: table2 of emoji-turbo can't begin, missing are:"
    assert [line[:18] for line in others] == ["  (1) --prompts: t", "  (2) --clip: ther"]


@pytest.mark.parametrize(("precision", "reduction"), [("FP16", 1), ("W4A16", 1), ("W8A8", 4), ("W4A8", 8)])
def test_work_is_counted_as_the_paper_counts_it(precision: str, reduction: float) -> None:
    table = _layers()
    plan = uniform_plan(
        table, Precision.parse(precision), keep=(), protect=(), bos_aware=False, split_shortcuts=False
    )
    assert compute_reduction(plan, table, 128) == reduction


def test_a_protected_layer_computes_in_floating_point() -> None:
    table = _layers()
    first = table.layers[0]
    plan = uniform_plan(
        table, Precision(8, 8), keep=(), protect=(first.name,), bos_aware=False, split_shortcuts=False
    )
    macs, total = first.macs[128], sum(layer.macs[128] for layer in table)
    assert compute_reduction(plan, table, 128) == pytest.approx(total / (macs + (total - macs) / 4))


def test_a_gpu_s_figures_are_set_beside_torch_compile(
    make_request: MakeRequest, emoji: SourceModel, two_rows: Recipe, tmp_path: Path
) -> None:
    folder = tmp_path / "out" / "unet"
    folder.mkdir(parents=True)
    (folder / "unet.csv").write_text(
        "way,resolution,batch,missing,ms,ms_q1,ms_q3,allocated_mib\n"
        "compiled,128,1,,8.0,7.9,8.1,5000\n"
        "w8a8,128,1,,5.0,4.9,5.1,2500\n"
        "w8a8-half,128,1,,4.5,4.4,4.6,2500\n"
        "w4a16,128,1,out of memory,,,,\n"
    )
    (folder / "kinds.csv").write_text(
        "way,resolution,batch,kind,us,launches\n"
        "w8a8,128,1,INT8 layers,3000,4\nw8a8,128,1,weight-only layers,500,1\nw8a8,128,1,attention,900,2\n"
    )
    recipe = replace(two_rows, measures=(Measure.LATENCY,))
    request = make_request(recipe=RecipeName.FIG7, device="cuda")
    shop = open_workshop(recipe, request, emoji, Console(quiet=True), lambda phase: lambda d, t: None, print)
    rows = {row.name: row for row in make_trial(shop).rows}
    figures = {key: figure.value for key, figure in rows["w8a8"].ours.items()}
    assert figures == {
        "unet_ms": 5.0,
        "unet_speedup": 1.6,
        "quantizable_ms": 3.5,
        "quantize_ms": 0.5,
        "rest_ms": 0.9,
        "peak_mib": 2500,
        "memory_reduction": 2.0,
    }
    assert (rows["w4a16"].ours, rows["w4a16"].note) == ({}, "out of memory")
    assert rows["compiled"].paper == {"fid": 10.0}
