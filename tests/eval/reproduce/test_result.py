from __future__ import annotations

import csv
from pathlib import Path

from mixdq.eval.ablation.report import Comparison
from mixdq.eval.reproduce.columns import COLUMNS
from mixdq.eval.reproduce.made import beside
from mixdq.eval.reproduce.recipe import Recipe, RecipeRow
from mixdq.eval.reproduce.result import Figure, Reproduction, ResultRow

ROWS = (
    ResultRow("full", "FP16", "FP16", "d" * 64, {"psnr": Figure(30.04, 29.9, 30.2)}, {"fid": 17.15}),
    ResultRow(
        "w8a8",
        "naive",
        ours={"fid": Figure(200.0)},
        paper={"fid": 103.96},
        comparison=Comparison.of("FP16", (103.96, 17.15), (200.0, 20.0), "FID-EffLite0"),
    ),
    ResultRow("ptqd", "PTQD", paper={"fid": 340.74}, note="is not implemented"),
)


def _found(recipe: str = "table9") -> Reproduction:
    return Reproduction(
        recipe=recipe,
        title="Nine",
        cites="a table",
        settings={"seed": "0"},
        columns=(COLUMNS["fid"], COLUMNS["clip"], COLUMNS["psnr"]),
        rows=ROWS,
        findings=("it holds",),
        remarks=(),
        not_measured={"CLIP": "no weights", "FID": "FID needs weights"},
        plots=("nine.png",),
        command="mixdq-eval reproduce table9",
        machine={
            "processor": "a processor",
            "cores": "2",
            "gpu": "none",
            "system": "Linux",
            "python": "3",
        },
        versions={"mixdq": "1"},
    )


def test_the_source_s_figures_stand_beside_ours(tmp_path: Path) -> None:
    _found().write(tmp_path)
    text = (tmp_path / "table9.md").read_text()
    assert "|  | FID | PSNR dB |" in text
    assert "| FP16 | –; *17.15* | 30.0 (29.9 to 30.2) |" in text
    assert "| PTQD | –; *340.74* | – |" in text
    assert "| naive | FP16 | × 6.06 | × 10.0 | yes |" in text
    assert "- PTQD: is not implemented" in text
    assert "- CLIP: no weights" in text
    assert "- FID needs weights" in text
    assert "a processor, 2 cores, no GPU, Linux, Python 3. mixdq 1." in text
    assert "![nine.png](nine.png)" in text


def test_the_csv_has_a_line_a_row_and_leaves_out_what_nobody_measured(tmp_path: Path) -> None:
    _found().write(tmp_path)
    with (tmp_path / "table9.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "label", "plan", "fid", "psnr", "source: fid", "note"]
    assert [(row["fid"], row["source: fid"]) for row in rows] == [
        ("", "17.15"),
        ("200.0", "103.96"),
        ("", "340.74"),
    ]


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    found = _found()
    paths = found.write(tmp_path)
    assert Reproduction.read(paths[0]).rows == found.rows


def test_a_grid_does_not_take_the_grid_s_own_file(tmp_path: Path) -> None:
    assert {path.name for path in _found("grid").write(tmp_path)} == {
        "grid-beside.json",
        "grid-beside.csv",
        "grid-beside.md",
    }


def test_rows_get_the_source_s_figures_by_name_and_the_rest_follows() -> None:
    recipe = Recipe(
        title="",
        cites="",
        count=0,
        columns=(),
        rows=(
            RecipeRow("8 static", "8 static", not_made="earlier", paper={"p95_ms": 9.0}),
            RecipeRow("8 adaptive", "8 adaptive", not_made="earlier", paper={"p95_ms": 8.0}),
        ),
    )
    made = beside([ResultRow("8 static", "here", ours={"p95_ms": Figure(1.0)})], recipe.rows)
    assert [(row.label, row.paper["p95_ms"], row.note) for row in made] == [
        ("here", 9.0, ""),
        ("8 adaptive", 8.0, "earlier"),
    ]
