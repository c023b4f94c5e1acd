"""`mixdq-eval report` as a user types it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mixdq.configs.console import run_app
from mixdq.eval.cli_report import app

from .conftest import PERFORMANCE, ROOT, SHIPPED


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        run_app(app, [str(word) for word in words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_it_says_where_the_files_are(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = results.parent / "page.html"
    assert run(results, "--out", out) == 0
    said = capsys.readouterr().out
    assert f"page: {out} (0." in said
    assert f"figures: {out.with_suffix('.json')}, {out.with_suffix('.csv')}" in said
    assert f"mixdq-eval report {results} --out {out}" in out.read_text()


def test_the_results_that_ship_make_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.html"
    began = time.monotonic()
    assert run(ROOT / "docs/results", PERFORMANCE, SHIPPED, "--out", out) == 0
    size = out.stat().st_size
    with capsys.disabled():
        print(f"\nreport of docs/: {time.monotonic() - began:.1f} s, {size / 1e6:.2f} MB")
    assert size < 5_000_000
    text = out.read_text(encoding="utf-8")
    for name in ("fig6", "fig7"):
        assert f"results/{name}/memory.json" in text
    assert "results/claims/prediction.json, results/fig8/prediction.json" in text
    assert "SQNR if errors added up, ρ = 0.995" in text
    assert "added_noise_db" not in text
    # One of the two ablations has a single quantized row, which makes no chart.
    ablations = text[text.index('<section id="ablation"') : text.index('<section id="prediction"')]
    assert ablations.count("<h4>PSNR dB") == 1


def test_an_empty_folder_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--out", tmp_path / "report.html") == 2
    assert capsys.readouterr().err.startswith(f"error: no results that a report could show in {tmp_path}")
    assert list(tmp_path.iterdir()) == []
