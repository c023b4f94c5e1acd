"""The text embedding quantized alone, in three ways."""

from pathlib import Path
from statistics import mean

import pytest

from mixdq.configs.console import run_app
from mixdq.configs.documents import read_json
from mixdq.configs.errors import EvaluationError
from mixdq.eval.cli import app
from mixdq.eval.text_embed_report import TextEmbed, TextEmbedReport


def _run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run_app(app, ["text-embed", *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_token_0_left_out_is_nearer_than_fp8_and_fp8_nearer_than_int8(
    emoji_w8a8: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "text-embed.json"
    assert _run(str(emoji_w8a8), "--prompt-count", "2", "--out", str(out)) == 0
    report = read_json(TextEmbedReport, out, EvaluationError)
    likeness = {row.way: mean(row.ssim) for row in report.rows}
    assert likeness[TextEmbed.BOS] > likeness[TextEmbed.FP8] > 0.99 > likeness[TextEmbed.INT8]
    assert (report.layers, len(report.prompts)) == (34, 2)
    printed = capsys.readouterr().out
    assert printed.index("bos") < printed.index("fp8") < printed.index("int8")


def test_a_way_that_there_is_not_is_refused(emoji_w8a8: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(str(emoji_w8a8), "--text-embed", "fp4") == 2
    assert "is not one of 'fp8', 'int8', 'bos'" in capsys.readouterr().err
