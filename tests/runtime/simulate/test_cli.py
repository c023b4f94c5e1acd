"""`mixdq-serve simulate`."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mixdq.configs.errors import EXIT_BAD_INPUT
from mixdq.configs.latency_table import LatencyRow, LatencyTable
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.quality_table import QualityRow, QualityTable, Score
from mixdq.runtime.cli import main
from mixdq.runtime.policy.measured import P95_SIGMAS

SERVED = [
    *("--service-ms", "512=113.5", "--service-ms", "768=201.3", "--service-ms", "1024=349.2"),
    *("--utility", "512=0.7", "--utility", "768=0.85", "--utility", "1024=1"),
    *("--noise", "0.05", "--objective-ms", "1000"),
]  # fmt: skip


def _run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mixdq-serve", "simulate", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_dominated_resolution_takes_the_last_threshold_with_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = [word.replace("1024=1", "1024=0.8") for word in SERVED]
    words = ["--rate", "3", "--policy", "thresholds", "--requests", "100"]
    assert _run(monkeypatch, *worse, *words) == 0
    assert "thresholds 2 " in capsys.readouterr().out
    assert _run(monkeypatch, *SERVED, *words, "--threshold", "2") == EXIT_BAD_INPUT


def test_rows_come_as_a_table_and_in_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, document = tmp_path / "rows.csv", tmp_path / "rows.json"
    words = [
        "--rate",
        "3",
        "--rate",
        "6",
        "--policy",
        "deadline",
        "--policy",
        "thresholds",
        "--requests",
        "300",
    ]
    assert _run(monkeypatch, *SERVED, *words, "--csv", str(rows), "--json", str(document)) == 0
    printed = capsys.readouterr().out
    assert "thresholds 2, 5" in printed
    assert str(rows) in printed
    with rows.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["policy"], row["rate_per_s"]) for row in found] == [
        ("deadline", "3.0"),
        ("thresholds 2, 5", "3.0"),
        ("deadline", "6.0"),
        ("thresholds 2, 5", "6.0"),
    ]
    kept = json.loads(document.read_text())
    assert kept["settings"]["objective"] == "1000 ms"
    for plain, row in zip(kept["rows"], found, strict=True):
        assert float(row["p95_ms"]) == plain["p95_ms"]
        assert float(row["share_768"]) == plain["resolution_shares"]["768"]
        assert sum(plain["resolution_shares"].values()) == pytest.approx(1.0)
        done = 300 - plain["refused"] - plain["shed"] - plain["late"]
        assert plain["done_share"] * 300 == pytest.approx(done)
        assert plain["p50_ms"] <= plain["p95_ms"] <= plain["p99_ms"]


def test_the_same_seed_gives_the_same_bytes_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def words(name: str, seed: str) -> list[str]:
        more = ["--rate", "5", "--policy", "deadline", "--policy", "static:512", "--requests", "200"]
        return [*SERVED, *more, "--seed", seed, "--json", str(tmp_path / name)]

    monkeypatch.setenv("COLUMNS", "180")
    code = "import sys; from mixdq.runtime.cli import main; main()"
    command = [sys.executable, "-c", code, "simulate", *words("first", "7")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert _run(monkeypatch, *words("again", "7")) == 0
    assert capsys.readouterr().out.splitlines()[:-1] == printed.splitlines()[:-1]  # the last names the file
    assert _run(monkeypatch, *words("other", "8")) == 0
    first, again, other = ((tmp_path / name).read_bytes() for name in ("first", "again", "other"))
    assert first == again != other


def test_a_dominated_resolution_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--service-ms", "896=400", "--utility", "896=0.9", "--rate", "1", "--requests", "10"]
    assert _run(monkeypatch, *SERVED, *more) == 0
    assert (
        "896 pixels (400.0 ms, utility 0.9) is no faster and no better than 1024" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--arrivals", "gamma", "--rate", "3"],
        ["--arrivals", "mmpp", "--rate", "3"],
        ["--arrivals", "burst", "--concurrency", "1", "--concurrency", "2"],
        ["--rate", "3", "--policy", "objective", "--policy", "static:768"],
        ["--rate", "3", "--workers", "3", "--switch-ms", "20"],
    ],
)
def test_every_pattern_and_policy_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert _run(monkeypatch, *SERVED, "--requests", "50", *words) == 0
    assert "in time" in capsys.readouterr().out


def test_a_trace_is_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "monday.csv"
    trace.write_text("arrival_s,size\n10,512\n11,1024\n")
    out = tmp_path / "rows.json"
    assert _run(monkeypatch, *SERVED, "--arrivals", "trace", "--trace", str(trace), "--json", str(out)) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert (row["arrivals"], row["requests"], row["done_share"]) == ("trace monday.csv", 2, 1.0)
    assert row["resolution_shares"] == {"512": 0.5, "768": 0.0, "1024": 0.5}
    assert "monday.csv" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*SERVED], "poisson arrivals need --rate"),
        ([*SERVED, "--rate", "3", "--concurrency", "1"], "poisson arrivals take --rate, not --concurrency"),
        ([*SERVED, "--arrivals", "burst", "--rate", "3"], "burst arrivals need --concurrency"),
        ([*SERVED, "--rate", "0"], "rate of arrivals is a number above 0, not 0"),
        ([*SERVED, "--rate", "3", "--policy", "greedy"], "greedy is no policy; there are deadline"),
        ([*SERVED, "--rate", "3", "--policy", "static:700"], "700 pixels are not served, but 512, 768, 1024"),
        ([*SERVED, "--rate", "3", "--policy", "thresholds", "--threshold", "2"], "3 resolutions need 2"),
        ([*SERVED, "--rate", "3", "--service-ms", "512=1"], "--service-ms says 512 twice: 113.5 and 1"),
        ([*SERVED, "--rate", "3", "--service-ms", "x"], "--service-ms is PIXELS=NUMBER"),
        ([*SERVED, "--rate", "3", "--service-ms", "640=nan"], "640 pixels: a service time is known and no"),
        ([*SERVED, "--rate", "3", "--quality", "q.json"], "utilities come from --utility PIXELS=U"),
        ([*SERVED, "--rate", "3", "--latency", "l.json"], "service times come from --latency FILE"),
        ([*SERVED, "--rate", "3", "--late-risk", "0"], "risk of being late"),
        ([*SERVED, "--rate", "3", "--rate-memory-s", "0"], "memory"),
    ],
)
def test_bad_input_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert _run(monkeypatch, *words) == EXIT_BAD_INPUT
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


def test_times_and_utilities_come_from_measured_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    latency, files = tmp_path / "latency.json", []
    rows = [
        _latency(resolution, median_ms, plan)
        for plan in ("1", "2")
        for resolution, median_ms in ((128, 50.0), (256, 200.0))
    ]
    LatencyTable(tuple(rows), {"processor": "a"}, {}).write(latency)
    for resolution, value in ((128, 0.6), (256, 0.8)):
        file = tmp_path / f"quality-{resolution}.json"
        _quality(resolution, value, "1", "2").write(file)
        files += ["--quality", str(file)]
    out = tmp_path / "rows.json"
    words = ["--latency", str(latency), "--source", "build/2", *files, "--metric", "alignment"]
    more = ["--objective-ms", "1000", "--rate", "1", "--requests", "50", "--json", str(out)]
    # Both tables hold two plans; the source says which is served.
    assert _run(monkeypatch, *words, *more) == 0
    settings = json.loads(out.read_text())["settings"]
    assert (settings["ms"], settings["utility"]) == ("128: 50.0, 256: 200.0", "128: 0.75, 256: 1")
    assert settings["spread"] == "20.0 %, 20.0 %"
    assert "in time" in capsys.readouterr().out


def _latency(resolution: int, median_ms: float, plan: str) -> LatencyRow:
    us = 1e3 * median_ms
    return LatencyRow(
        "picture", "stage", "W8A8", plan * 64, "cpu", "cpu", resolution, 1, us, us, us,
        us * (1 + 0.2 * P95_SIGMAS), 60, 3, us, us, f"build/{plan}", "tiny", 1, "wall", "3" * 64,
    )  # fmt: skip


def _quality(resolution: int, value: float, *plans: str) -> QualityTable:
    score = Score("alignment", value, None, None, 8, True, None, None)
    rows = tuple(
        QualityRow(
            f"images/{plan}-{resolution}", "4" * 64, "5" * 64, ModelIdentity("tiny", "0" * 64), "W8A8",
            plan * 64, resolution, 1, "euler", (score,),
        )
        for plan in plans
    )  # fmt: skip
    return QualityTable("images/full", "6" * 64, 8, None, None, None, rows, {}, {}, {})
