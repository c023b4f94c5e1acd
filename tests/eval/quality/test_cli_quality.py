import json
import re
from pathlib import Path

import pytest

from mixdq.configs.console import run_app
from mixdq.configs.quality_table import QualityTable
from mixdq.eval.cli import app

from .conftest import SetMaker


def _run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        run_app(app, ["quality", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_it_writes_the_figures_and_shows_them(
    make_set: SetMaker, seeded_inception: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [make_set("plain"), make_set("noisy", noise=20)]
    out = tmp_path / "deep" / "quality.json"
    code = _run(
        *sets,
        "--out",
        out,
        "--metrics",
        "fid, kid,ssim,psnr",
        "--inception",
        seeded_inception,
        "--bootstrap",
        200,
    )
    assert code == 0
    table = QualityTable.read(out)
    assert [score.metric[:4] for score in table.rows[0].scores] == ["FID ", "KID ", "SSIM", "SSIM", "PSNR"]
    shown = capsys.readouterr().out
    assert "12 pictures a set against 12 of plain" in shown
    assert f"{table.rows[0].scores[-1].value:.4g}" in shown
    assert "control passed: FID (features" in shown
    assert "not scored" not in shown


def test_a_figure_of_a_written_table_is_the_same_in_the_next(
    make_set: SetMaker, seeded_inception: Path, tmp_path: Path
) -> None:
    sets = [make_set("plain"), make_set("noisy", noise=20)]
    for name in ("a.json", "b.json"):
        options = ["--metrics", "fid,sqnr", "--inception", seeded_inception, "--cache", tmp_path / name[0]]
        assert _run(*sets, "--out", tmp_path / name, *options) == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_missing_weights_are_shown_with_the_option_that_takes_them(
    make_set: SetMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_set("plain")
    assert _run(folder, folder, "--out", tmp_path / "q.json", "--bootstrap", 100) == 0
    shown = capsys.readouterr().out
    for metric in ("CLIP", "ImageReward", "LPIPS", "FID", "KID"):
        assert re.search(rf"^not scored: {metric}: ", shown, re.MULTILINE)
    assert set(json.loads((tmp_path / "q.json").read_text())["not_scored"]) >= {"CLIP", "LPIPS"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metrics", "fid,beauty"], "--metrics takes names with commas between them: fid, kid, ssim"),
        (["--metrics", ","], "--metrics takes names"),
        (["--features", "vgg"], "--features takes effnet-lite0, found 'vgg'"),
        (["--resize", "nearest"], "--resize takes clean or inside"),
        (["--resize", "inside"], "give --inception FILE too"),
        (["--metrics", "clip"], "CLIP was asked for, and there are no weights"),
        (["--metrics", "lpips"], "LPIPS was asked for, and there are no weights"),
        (["--inception", "none.pt"], "there is no file none.pt"),
        (["--device", "tpu9"], "can't compute on 'tpu9'"),
    ],
)
def test_bad_options_end_with_code_2_and_one_line(
    make_set: SetMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    folder = make_set("plain", 3)
    assert _run(folder, folder, "--out", tmp_path / "q.json", *options) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "q.json").exists()


@pytest.mark.parametrize("there", ["manifest", "other table", "folder"])
def test_out_replaces_no_file_of_another_kind_and_says_so_before_computing(
    make_set: SetMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str], there: str
) -> None:
    folder, out = make_set("plain"), tmp_path / "latency.json"
    if there == "manifest":
        out = folder / "manifest.json"
    elif there == "other table":
        out.write_text('{"rows": [], "version": 1}')
    else:
        out.mkdir()
    before = out.read_bytes() if out.is_file() else None
    assert _run(folder, folder, "--out", out) == 2
    assert "which is no table of mixdq-eval quality" in capsys.readouterr().err
    assert (out.read_bytes() if out.is_file() else None) == before
    assert not (folder / ".features").exists()


def test_out_replaces_an_older_table(make_set: SetMaker, tmp_path: Path) -> None:
    folders = make_set("plain"), make_set("noisy", noise=9)
    out = tmp_path / "q.json"
    for metric in ("psnr", "sqnr"):
        assert _run(*folders, "--out", out, "--metrics", metric) == 0
    assert QualityTable.read(out).rows[0].scores[0].metric == "SQNR dB"


def test_a_control_that_fails_ends_with_code_1_and_says_so(
    make_set: SetMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # One picture under four names: with others' prompts it scores exactly as much.
    prompts = ["red apple", "lemon", "cat face", "rocket"]
    folder = make_set("alike", 4, prompts=prompts, model="emoji-turbo", alike=True)
    options = ["--metrics", "alignment", "--bootstrap", "500"]
    assert _run(folder, folder, "--out", tmp_path / "q.json", *options) == 1
    table = QualityTable.read(tmp_path / "q.json")
    assert table.rows[0].scores == ()
    assert "refused" in table.not_scored["emoji alignment"]
    assert "control FAILED: emoji alignment, deranged prompts" in capsys.readouterr().out
