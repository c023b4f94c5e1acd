from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.errors import PlanError
from mixdq.configs.layers import Group, LayerName, LayerTable
from mixdq.configs.mixdq_format.scores import ScoreFile, score_files_of_table, table_of_score_files
from mixdq.configs.sensitivity import Metric, Operand

_TEXT = """\
model.conv_in:
- 7.705155372619629
- 30.0
- 5.0e-05
model.conv_out:
- 0.5
- 0.25
- 0.125
"""


def _files(folder: Path, table: LayerTable, prefix: str = "model.") -> list[Path]:
    """The four tables; layer number n scores n + 0.2, n + 0.4 and n + 0.8 (activations 100 more)."""
    paths = []
    for operand, first in (("weight", 0), ("act", 100)):
        for metric in ("sqnr", "ssim"):
            text = "".join(
                f"{prefix}{layer.name}:\n- {first + number}.2\n- {first + number}.4\n- {first + number}.8\n"
                for number, layer in enumerate(table)
                if metric == "sqnr" or layer.group is Group.CONTENT
            )
            paths.append(folder / f"{operand}_{metric}.yaml")
            paths[-1].write_text(text)
    return paths


@pytest.mark.parametrize("text", [_TEXT, _TEXT.replace("model.", "")])
def test_scores_that_are_read_and_written_keep_every_byte(tmp_path: Path, text: str) -> None:
    path = tmp_path / "weight_sqnr.yaml"
    path.write_text(text)
    read = ScoreFile.read(path)
    assert read.scores[LayerName("conv_in")] == (7.705155372619629, 30.0, 5e-05)
    read.write(path)
    assert path.read_text() == text


@pytest.mark.parametrize("prefix", ["model.", ""])
def test_four_files_are_one_table_and_four_files_again(
    tmp_path: Path, table: LayerTable, prefix: str
) -> None:
    paths = _files(tmp_path, table, prefix)
    made = table_of_score_files(paths, table)
    assert made.score(Operand.ACTIVATION, Metric.SQNR, LayerName("conv_in"), 8) == 100.8
    assert made.score(Operand.WEIGHT, Metric.SSIM, table.layers[2].name, 4) == 2.4
    files = score_files_of_table(made, prefixed=bool(prefix))
    assert {name: file.to_yaml() for name, file in files.items()} == {
        path.name: path.read_text() for path in paths
    }


def test_a_table_with_more_widths_writes_mixdqs_three(tmp_path: Path, table: LayerTable) -> None:
    made = table_of_score_files(_files(tmp_path, table), table)
    wider = replace(
        made,
        widths=dict.fromkeys(Operand, (2, 3, 4, 8)),
        scores={
            operand: {
                metric: {name: (one, 0.0, two, three) for name, (one, two, three) in layers.items()}
                for metric, layers in metrics.items()
            }
            for operand, metrics in made.scores.items()
        },
    )
    assert score_files_of_table(wider) == score_files_of_table(made)
    narrower = replace(wider, widths=dict.fromkeys(Operand, (2, 3, 5, 8)))
    with pytest.raises(PlanError, match="no weight scores at 4 bits"):
        score_files_of_table(narrower)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("conv_in: [1.0, 2.0]\n", "2 scores"),
        ("conv_in: [1.0, 2.0, 3.0, 4.0]\n", "4 scores"),
        ("conv_in: 8\n", "conv_in 8"),
        ("conv_in: [1.0, .nan, 3.0]\n", "score nan"),
        ("conv_in: [1.0, .inf, 3.0]\n", "score inf"),
        ("conv_in: [1.0, high, 3.0]\n", "score 'high'"),
        ("conv_in: [1.0, true, 3.0]\n", "score True"),
    ],
)
def test_malformed_scores_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "weight_sqnr.yaml"
    path.write_text(text)
    with pytest.raises(PlanError, match=said):
        ScoreFile.read(path)


def test_a_small_number_without_a_point_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "weight_sqnr.yaml"
    path.write_text("conv_in: [1e-05, 2, 3.0]\n")
    assert ScoreFile.read(path).scores[LayerName("conv_in")] == (1e-05, 2.0, 3.0)


def test_files_whose_names_say_nothing_or_the_same_are_refused(tmp_path: Path, table: LayerTable) -> None:
    paths = _files(tmp_path, table)
    with pytest.raises(PlanError, match="second table of weight sqnr_db"):
        table_of_score_files([*paths, paths[0]], table)
    other = paths[0].rename(tmp_path / "sqnr.yaml")
    with pytest.raises(PlanError, match="does not say what it holds"):
        table_of_score_files([other, *paths[1:]], table)


def test_files_that_lack_layers_are_refused(tmp_path: Path, table: LayerTable) -> None:
    paths = _files(tmp_path, table)
    with pytest.raises(PlanError, match="no weight ssim"):
        table_of_score_files([path for path in paths if path.name != "weight_ssim.yaml"], table)
    lines = paths[0].read_text().splitlines(keepends=True)
    paths[0].write_text("".join(lines[4:]))
    with pytest.raises(PlanError, match="no weight sqnr_db for conv_in"):
        table_of_score_files(paths, table)
