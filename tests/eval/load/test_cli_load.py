"""The commands, against a server that answers as it is told."""

import csv
import json
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from mixdq.configs.errors import EXIT_BAD_INPUT
from mixdq.eval.cli import main

from .conftest import FakeServer


def _run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mixdq-eval", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_figures_come_as_a_table_as_lines_and_in_files(
    fake_server: FakeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows, document = tmp_path / "rows.csv", tmp_path / "load.json"
    words = [fake_server.url, "--rate", "200", "--rate", "400", "--requests", "20", "--max-lag-ms", "60000"]
    assert _run(monkeypatch, "load", *words, "--csv", str(rows), "--json", str(document)) == 0
    printed = capsys.readouterr().out
    assert "poisson 200/s: p50 " in printed
    assert "poisson 400/s: p50 " in printed
    with rows.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["run"] for line in lines] == ["poisson 200/s"] * 20 + ["poisson 400/s"] * 20
    report = json.loads(document.read_text())
    assert [row["made"] for row in report["rows"]] == [20, 20]
    assert report["rows"][0]["resolution_shares"] == {"512": 1.0}
    assert report["rows"][0]["mean_utility"] == pytest.approx(0.7)
    assert report["rows"][0]["objective_ms"] == 5000.0
    # Three to warm up before each.
    assert len(fake_server.bodies) == 46


def test_a_run_whose_client_was_late_says_so_and_exits_with_1(
    fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [fake_server.url, "--rate", "500", "--requests", "5", "--max-lag-ms", "0"]
    assert _run(monkeypatch, "load", *words) == 1
    assert "poisson 500/s is invalid: the client sent its requests late" in capsys.readouterr().out


def test_the_seed_comes_from_the_environment_too(
    fake_server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def intended(*words: str) -> list[str]:
        rows = tmp_path / "rows.csv"
        common = ["--rate", "500", "--requests", "10", "--max-lag-ms", "60000", "--csv", str(rows)]
        assert _run(monkeypatch, "load", fake_server.url, *common, *words) == 0
        with rows.open(newline="") as file:
            return [line["intended_s"] for line in csv.DictReader(file)]

    unset = intended()
    monkeypatch.setenv("MIXDQ_LOADTEST_SEED", "123")
    assert intended() == intended("--seed", "123")
    assert intended() != unset


def test_size_and_objective_are_asked_for_as_they_are_given(
    fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--arrivals", "burst", "--concurrency", "1", "--requests", "1", "--warmup", "0"]
    more = ["--size", "768", "--slo-ms", "1500", "--max-lag-ms", "60000"]
    assert _run(monkeypatch, "load", fake_server.url, *words, *more) == 0
    assert [(body["size"], body["slo_ms"]) for body in fake_server.bodies] == [("768x768", 1500.0)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["http://127.0.0.1:9", "--rate", "1"], "no server answers at http://127.0.0.1:9"),
        (["127.0.0.1:9", "--rate", "1"], "is no server's address"),
        (["http://127.0.0.1:9"], "poisson arrivals need --rate"),
        (["http://127.0.0.1:9", "--rate", "1", "--size", "big"], "a size is auto or a number of pixels"),
        (["http://127.0.0.1:9", "--rate", "1", "--api-key-file", "nowhere"], "can't be read"),
        (["http://127.0.0.1:9", "--rate", "1", "--prompts", "nowhere"], "does not exist"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "load", *words) == EXIT_BAD_INPUT
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said in error


def test_a_key_is_the_first_line_that_is_one(
    fake_server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# of the server\n\n  a-key-of-the-server \nanother\n")
    words = ["--arrivals", "burst", "--concurrency", "1", "--requests", "1", "--max-lag-ms", "60000"]
    assert _run(monkeypatch, "load", fake_server.url, *words, "--api-key-file", str(keys)) == 0
    assert {headers["Authorization"] for headers in fake_server.headers} == {"Bearer a-key-of-the-server"}


@pytest.mark.parametrize(
    ("bundles", "words", "said"),
    [
        (1, [], "the deadline policy weighs what pictures of each size are worth"),
        (2, ["--utility", "16=1"], "rows are told apart by the bits of their weights"),
    ],
)
def test_a_matrix_that_would_fail_later_is_refused_before_it(
    bundles: int,
    words: list[str],
    said: str,
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(tiny_bundle)] * bundles
    assert _run(monkeypatch, "load-matrix", *given, "--base", str(tmp_path), *words) == EXIT_BAD_INPUT
    assert said in capsys.readouterr().err


def test_a_matrix_s_table_text_and_nine_plots_lie_in_a_folder_of_their_time(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # With this seed the first gap of exponential arrivals is a hundredth of the mean.
    seed = next(n for n in range(10_000) if Random(f"arrivals {n}").expovariate(1.0) < 0.01)
    words = ["--utility", "16=0.5", "--utility", "24=1", "--serve", "--null-engine", "--max-lag-ms", "60000"]
    more = ["--requests", "1", "--seed", str(seed), "--warmup", "1", "--base", str(tmp_path)]
    assert _run(monkeypatch, "load-matrix", str(tiny_bundle), *words, *more) == 0
    (folder,) = (tmp_path / "queue_tests").iterdir()
    assert str(folder) in capsys.readouterr().out
    with (folder / "mixdq_queue_results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["policy"], row["served"]) for row in rows] == [("static", "static:24")] * 6 + [
        ("adaptive", "deadline")
    ] * 6
    assert all(row["wbits"] == "FP16" and float(row["p95_ms"]) > 0 for row in rows)
    lines = (folder / "mixdq_queue_results.txt").read_text().splitlines()
    assert sum(", p95 " in line and ": p50 " in line for line in lines) == 12
    assert {path.name for path in folder.glob("*.png")} == {
        "poisson_p95_ms.png",
        "poisson_p99_ms.png",
        "burst_conc1_p95_ms.png",
        "burst_conc1_p99_ms.png",
        "burst_conc2_p95_ms.png",
        "burst_conc2_p99_ms.png",
        "poisson_delta_p95_ms.png",
        "burst_conc1_delta_p95_ms.png",
        "burst_conc2_delta_p95_ms.png",
    }
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            levels = np.asarray(image.convert("L"))
        assert (levels.min() < 100, levels.max()) == (True, 255)


def test_plots_need_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "load-plots", str(tmp_path / "nowhere.csv")) == EXIT_BAD_INPUT
    assert "could not read" in capsys.readouterr().err
