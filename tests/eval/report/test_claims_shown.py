"""What single claims come to that no other test looks at."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mixdq.compiler.allocate.allocation import allocate
from mixdq.compiler.allocate.subject import PAPER_WIDTHS, Part, Subject
from mixdq.configs.claim import read_claims
from mixdq.configs.layers import LayerTable
from mixdq.configs.sensitivity import PAPER_METRICS, Operand, SensitivityTable
from mixdq.configs.shipped_search import shipped_layers, shipped_sensitivity
from mixdq.eval.report.claims_measure import ranks

ROOT = Path(__file__).parents[3]
BUDGETS = {
    Part.CONTENT_WEIGHTS: 4.0,
    Part.QUALITY_WEIGHTS: 5.0,
    Part.CONTENT_ACTIVATIONS: 6.0,
    Part.QUALITY_ACTIVATIONS: 6.0,
}


@pytest.fixture(scope="module")
def layers() -> LayerTable:
    """emoji-turbo's."""
    path = shipped_layers("emoji-turbo")
    assert path is not None
    return LayerTable.read(path)


@pytest.fixture(scope="module")
def scores() -> SensitivityTable:
    """Those that ship for emoji-turbo."""
    path = shipped_sensitivity("emoji-turbo")
    assert path is not None
    return SensitivityTable.read(path)


def _shuffled(scores: SensitivityTable) -> SensitivityTable:
    """The same table with the activations' scores given to other layers."""
    draw = random.Random(0)
    mixed = {}
    for metric, rows in scores.scores[Operand.ACTIVATION].items():
        values = list(rows.values())
        draw.shuffle(values)
        mixed[metric] = dict(zip(rows, values, strict=True))
    return replace(scores, scores={**scores.scores, Operand.ACTIVATION: mixed})


def test_other_scores_of_activations_leave_the_weights_bits(
    layers: LayerTable, scores: SensitivityTable
) -> None:
    both = [
        allocate(Subject(layers, table, PAPER_METRICS, PAPER_WIDTHS, 128, frozenset()), BUDGETS)[0]
        for table in (scores, _shuffled(scores))
    ]
    assert both[0].weights == both[1].weights
    assert both[0].activations != both[1].activations


def test_ranks_are_among_all_layers(layers: LayerTable, scores: SensitivityTable) -> None:
    found = {figure.name: figure.value for figure in ranks(layers, scores, "emoji-turbo")}
    assert found["conv_in's activation at 8 bits, rank"] == 1
    assert found["conv_in's activation at 8 bits"] == pytest.approx(40.06, abs=0.005)
    assert found["conv_out's weight at 4 bits"] == pytest.approx(25.06, abs=0.005)


def test_the_citation_names_the_paper() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["preferred-citation"]
    assert cited["identifiers"] == [{"type": "other", "value": "arXiv:2405.17873"}]
    assert {author["family-names"] for author in cited["authors"]} >= {"Zhao", "Ning", "Wang"}


def test_baselines_that_are_not_implemented_are_named_beside_the_papers_figures() -> None:
    for recipe, names in (("table1", ("Q-Diffusion",)), ("table2", ("PTQD", "Q-Diffusion", "EDA-DM"))):
        path = ROOT / "eval" / "reproduce" / "recipes" / f"{recipe}.yaml"
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))["rows"]
        for name in names:
            left_out = [row for row in rows if name in row["label"]]
            assert left_out, name
            assert all(row["not_made"] and row["paper"]["fid"] for row in left_out)


def test_committed_results_say_where_they_come_from() -> None:
    documents = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in (ROOT / "docs").rglob("*.json")
        if path.name in ("structure.json", "grid.json", "table3.json", "machine.json")
    ]
    assert documents
    assert all(document["machine"]["processor"] and document["versions"] for document in documents)


def test_no_source_says_what_its_numbers_don_t() -> None:
    """Sources are those that the page has headings for; texts are plain, without line breaks or markup."""
    for claim in read_claims():
        assert re.match(r"(paper|summary|project page|repository|report|README)\b", claim.source), (
            claim.number
        )
        assert "\n" not in claim.says
        assert not claim.says.endswith(".")
