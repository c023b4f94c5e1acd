"""The report as its readers get it: the page, the files beside it, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mixdq.configs.errors import DigestError, EvaluationError, MixdqError
from mixdq.configs.files import sha256_of_file
from mixdq.eval.report.make import make_report
from mixdq.eval.report.section_speed import subject_names

from .conftest import MACHINE, SHIPPED, draw, latency, memory, quality

_VOID = {"meta", "link", "img", "line", "rect", "circle", "path", "input", "br"}
OTHER = {**MACHINE, "processor": "Another"}


class Checked(HTMLParser):
    """A page whose elements close in order, with its text, addresses and headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.levels: list[int] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [value for name in ("href", "src") if (value := given.get(name))]
        self.ids += [value] if (value := given.get("id")) else []
        if tag == "img":
            self.images.append(given)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def report(*folders: Path) -> tuple[Checked, str]:
    """The page of some folders, checked, and its text."""
    out = folders[0].parent / "out" / "report.html"
    make_report(folders, out, "mixdq-eval report")
    text = out.read_text(encoding="utf-8")
    return Checked(text), text


@pytest.fixture(scope="module")
def made(all_results: Path) -> tuple[Checked, str]:
    """The page of results of almost every kind; its files are in `out` beside them."""
    return report(all_results)


def section(text: str, key: str) -> str:
    found = re.search(rf'<section id="{key}".*?</section>', text, re.DOTALL)
    assert found is not None
    return found[0]


def test_one_file_holds_all_that_it_shows(made: tuple[Checked, str]) -> None:
    page, text = made
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert "@import" not in text
    assert "url(" not in text
    assert len(page.ids) == len(set(page.ids))
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    for key in (
        *("samples", "quality", "latency", "memory", "trade-offs", "plans", "sensitivity", "serving", "gpu"),
        *("claims", "provenance"),
    ):
        assert key in page.ids
    assert "grid" not in page.ids


def test_the_page_and_its_files_are_small(made: tuple[Checked, str], all_results: Path) -> None:
    sizes = {path.suffix: path.stat().st_size for path in (all_results.parent / "out").iterdir()}
    assert set(sizes) == {".html", ".json", ".csv"}
    assert sizes[".html"] < 800_000


def test_the_same_results_give_the_same_bytes(results: Path) -> None:
    files = [make_report([results], results.parent / name / "report.html", "command") for name in ("a", "b")]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


def test_every_picture_is_named_and_every_heading_has_its_place(made: tuple[Checked, str]) -> None:
    page, text = made
    assert len(page.images) == 9
    assert {image["alt"] for image in page.images} >= {"a red apple, drawn by mixdq"}
    assert page.levels[0] == 1
    assert page.levels.count(1) == 1
    assert all(after <= before + 2 for before, after in zip(page.levels, page.levels[1:], strict=False))
    for chart in re.findall(r"<svg[^>]*>", text):
        assert 'aria-label="' in chart or 'aria-hidden="true"' in chart


def test_full_precision_is_the_first_column_of_the_samples(made: tuple[Checked, str]) -> None:
    _, text = made
    heads = re.findall(r'<th scope="col">([^<]+)<small>', section(text, "samples"))
    assert heads == ["full", "mixdq", "naive"]


def test_the_verdict_stands_at_the_top_and_leads_to_the_claims(made: tuple[Checked, str]) -> None:
    _, text = made
    found = re.search(r'<dt>Claims</dt><dd><a href="#claims">(.*?)</a>', text)
    assert found is not None
    assert sum(map(int, re.findall("[0-9]+", found[1]))) == 100
    assert " unmet, " in found[1]


def test_what_prompts_say_is_text_and_no_markup(made: tuple[Checked, str]) -> None:
    page, text = made
    assert "a cat & a <b>dog</b>" in page.text
    assert "<b>dog" not in text


def test_every_document_is_in_the_provenance_with_its_digest(
    made: tuple[Checked, str], all_results: Path
) -> None:
    page, text = made
    provenance = section(text, "provenance")
    for path in (
        all_results / "quality.json",
        all_results / "images/naive/manifest.json",
        all_results / "h200/unet.csv",
    ):
        assert sha256_of_file(path) in provenance
    assert "results/quality.json" in provenance
    assert "mixdq 0.1.0" in provenance
    assert "unet-speed --out DIR" in provenance
    assert "Machine A" in page.text


def test_figures_are_in_the_json_and_csv_files(made: tuple[Checked, str], all_results: Path) -> None:
    plain = json.loads((all_results.parent / "out/report.json").read_text())
    tables = {table["name"]: table for part in plain["sections"] for table in part["tables"]}
    rows = {row[0]: row for row in tables["quality-1"]["rows"]}
    assert rows["PSNR dB\u00a0↑"][1:] == ["30.00 (29.00–31.00)", "15.00 (14.00–16.00)"]
    lines = list(csv.DictReader(io.StringIO((all_results.parent / "out/report.csv").read_text())))
    found = [line for line in lines if line["table"] == "latency-A" and line["name"] == "mixdq"]
    assert {line["column"]: line["value"] for line in found}["picture"] == "40.0"
    assert len([line for line in lines if line["table"] == "claims" and line["column"] == "state"]) == 100


def test_their_figures_stand_behind_ours(made: tuple[Checked, str]) -> None:
    _, text = made
    part = section(text, "reproduction")
    table = next(
        one for one in re.findall(r"<table.*?</table>", part, re.DOTALL) if "FID-EffLite0; theirs" in one
    )
    heads = re.findall(r'<th scope="col">(.*?)</th>', table)
    assert heads[:5] == ["", "FID-EffLite0; theirs", "CLIP, theirs", "ImageReward, theirs", "emoji alignment"]
    first = re.findall(r"<td.*?>(.*?)</td>", table)[:3]
    assert re.fullmatch(r"[0-9.]+(; [0-9.]+)?", first[0])
    assert ";" not in first[1] + first[2]
    assert all(
        re.search("[0-9a-f]{13}", one) is None for one in re.findall('class="caption">(.*?)</p>', part)
    )


def test_bits_are_drawn_block_by_block(made: tuple[Checked, str]) -> None:
    _, text = made
    plans = section(text, "plans")
    assert "down block 2" in plans
    assert "mid block" in plans
    assert "<title>conv_in: W8A16</title>" in plans
    # One mark a layer for its weight and one for its activation, in each of the five plans.
    assert (
        len(re.findall(r'<rect [^>]*class="b\d', plans))
        - len(re.findall(r'<rect width="11"[^>]*class="b\d', plans))
        == 5 * 2 * 264
    )


def test_results_of_two_machines_stand_apart(results: Path) -> None:
    latency(OTHER, factor=3.0).write(results / "elsewhere/latency.json")
    page, text = report(results)
    speed = section(text, "latency")
    assert "never put into one table" in speed
    tables = re.findall(r"<table.*?</table>", speed, re.DOTALL)
    assert len(tables) == 2
    assert "40.0" in tables[0]
    assert "120.0" not in tables[0]
    assert "120.0" in tables[1]
    assert "Another, 2 cores, no GPU" in page.text


def test_other_versions_on_one_machine_stand_apart_and_are_named(results: Path) -> None:
    table = latency()
    other = type(table)(table.rows, table.machine, {"mixdq": "0.2.0"})
    other.write(results / "later/latency.json")
    page, _ = report(results)
    assert "as A, with other versions: mixdq: 0.1.0 and 0.2.0" in page.text


def test_what_was_measured_again_has_a_table_of_its_own(results: Path) -> None:
    latency(factor=3.0).write(results / "again/latency.json")
    memory(factor=3.0).write(results / "again/memory.json")
    latency().write(results / "a copy/latency.json")
    page, text = report(results)
    for key, first, second in (("latency", "40.0", "120.0"), ("memory", "60.0", "180.0")):
        part = section(text, key)
        tables = re.findall(r"<table.*?</table>", part, re.DOTALL)
        assert [(first in table, second in table) for table in tables] == [(True, False), (False, True)]
        heads = re.findall(r"<h3>(.*?)</h3>", part)
        assert [f"results/{key}.json" in head for head in heads] == [True, False]
        assert heads[1] == f"results/again/{key}.json"
    assert len(page.ids) == len(set(page.ids))
    hints = re.findall("<title>mixdq: ([0-9]+), 30</title>", section(text, "trade-offs"))
    assert set(hints) == {"40", "60"}


def test_configurations_of_one_model_are_called_by_what_tells_them_apart() -> None:
    usual, *_ = latency().rows
    rows = [
        replace(usual, source="turbo", precision=words)
        for words in ("float16, VAE bfloat16, compiled, CUDA graph", "float16, VAE bfloat16, CUDA graph")
    ]
    assert list(subject_names(rows).values()) == ["compiled, CUDA graph", "CUDA graph"]
    other = replace(usual, source="mixdq")
    assert list(subject_names([*rows, other]).values()) == [
        "turbo compiled, CUDA graph",
        "turbo CUDA graph",
        "mixdq",
    ]


def test_scores_of_other_numbers_of_pictures_have_a_table_of_their_own(results: Path) -> None:
    quality(29.0, count=512, reference="d").write(results / "many/quality.json")
    _, text = report(results)
    part = section(text, "quality")
    assert "of 3 and 512 pictures each" in part
    tables = re.findall(r"<table.*?</table>", part, re.DOTALL)
    assert len([table for table in tables if "PSNR" in table]) == 2


def _foreign_plan(folder: Path, bundle: Path) -> None:
    shutil.copytree(bundle, folder / "bundle", ignore=shutil.ignore_patterns("onnx", "tokenizer*"))
    shutil.copy(SHIPPED / "plans/w4a8.yaml", folder / "bundle/plan.yaml")


def test_a_bundle_beside_another_plan_is_refused(results: Path, tiny_bundle: Path) -> None:
    _foreign_plan(results, tiny_bundle)
    with pytest.raises(DigestError, match=r"plan\.yaml .* is not the plan that"):
        report(results)


def _changed_picture(folder: Path) -> None:
    shutil.copy(folder / "images/full/0.png", folder / "images/naive/0.png")


def _two_scores(folder: Path) -> None:
    quality(31.0).write(folder / "again/quality.json")


def _broken(folder: Path) -> None:
    (folder / "prediction.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_changed_picture, r"images/naive/0\.png is missing or was changed"),
        (_two_scores, r"quality\.json contradict each other: PSNR dB of the same pictures"),
        (_broken, r"prediction\.json is not valid JSON"),
    ],
)
def test_results_that_cannot_all_be_true_are_refused_and_nothing_is_written(
    spoil: Callable[[Path], None], words: str, results: Path
) -> None:
    spoil(results)
    with pytest.raises(MixdqError, match=words):
        report(results)
    assert not (results.parent / "out").exists()


def test_a_page_of_another_ending_is_refused(results: Path) -> None:
    with pytest.raises(EvaluationError, match=r"must end in \.html"):
        make_report([results], results.parent / "report.json", "")


def test_a_report_beside_the_results_is_made_anew(results: Path) -> None:
    for _ in range(2):
        make_report([results], results / "report.html", "")
    assert {path.name for path in results.glob("report.*")} == {"report.html", "report.json", "report.csv"}


def test_pictures_alone_are_enough(tmp_path: Path) -> None:
    draw(tmp_path / "images/mixdq", "mixdq", count=2)
    page, text = report(tmp_path / "images")
    assert len(page.images) == 2
    assert "Quality" not in page.text[: page.text.index("Samples")]
    assert "quality" not in page.ids
    assert "W8A8" in section(text, "samples")
