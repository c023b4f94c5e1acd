"""`mixdq-eval report` as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixdq.configs.console import run_app
from mixdq.eval.cli_report import app


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


def test_an_empty_folder_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--out", tmp_path / "report.html") == 2
    assert capsys.readouterr().err.startswith(f"error: no results that a report could show in {tmp_path}")
    assert list(tmp_path.iterdir()) == []
