"""Figures of samples, worked out by hand."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.eval.load.answer import read_answer
from mixdq.eval.load.facts import Facts
from mixdq.eval.load.report import load_line
from mixdq.eval.load.run import Run
from mixdq.eval.load.sample import COLUMNS, Ending, Reply, Sample, write_samples
from mixdq.eval.load.schedule import Schedule
from mixdq.eval.load.summary import summarize

from .conftest import sample


def _run(*samples: Sample, objective_s: float | None = 1.0, utilities: dict[int, float] | None = None) -> Run:
    schedule = Schedule("poisson", 2.0, 0, tuple(one.planned for one in samples))
    return Run(schedule, samples, Facts(objective_s, utilities or {}))


def test_latencies_of_pictures_are_from_the_intended_sending() -> None:
    # Latencies 0.1, 0.2, … 1.1: the percentiles lie between the order's neighbours.
    samples = [
        sample(number, intended_s=float(number), sent_s=number + 0.05, ended_s=number + 0.1 * (number + 1))
        for number in range(11)
    ]
    row = summarize(_run(*samples))
    assert (row.p50_ms, row.p95_ms, row.p99_ms) == pytest.approx((600.0, 1050.0, 1090.0))
    assert row.in_time_share == pytest.approx(10 / 11)
    assert row.goodput_per_s == pytest.approx(10 / 11.1)
    assert (row.lag_p50_ms, row.lag_p99_ms, row.lag_max_ms) == pytest.approx((50.0, 50.0, 50.0))


def test_every_request_is_counted_once_by_how_it_ended() -> None:
    statuses = [200, 200, 429, 504, 503, 422, 401, 500, 0, 302]
    row = summarize(_run(*(sample(n, status=status) for n, status in enumerate(statuses))))
    ends = (row.made, row.refused, row.shed, row.unavailable, row.rejected, row.errors)
    assert ends == (2, 1, 1, 1, 2, 3)
    assert sum(ends) == row.requests == 10


def test_a_picture_that_can_not_be_read_is_an_error() -> None:
    assert Reply(1.0, 200, "not the API's form").ending is Ending.ERROR


def test_what_was_not_made_has_no_latency_and_is_not_in_time() -> None:
    row = summarize(_run(sample(0, ended_s=0.5), sample(1, ended_s=0.001, status=429)))
    assert row.p50_ms == row.p99_ms == pytest.approx(500.0)
    assert row.in_time_share == 0.5


def test_the_objective_is_what_the_request_asked_for_before_the_servers() -> None:
    own = [sample(0, objective_s=0.3, ended_s=0.4), sample(1, objective_s=0.3, ended_s=0.2)]
    row = summarize(_run(*own, objective_s=1.0))
    assert (row.objective_ms, row.in_time_share) == (300.0, 0.5)
    unknown = summarize(_run(sample(0), objective_s=None))
    assert (unknown.objective_ms, unknown.in_time_share) == (None, None)
    assert unknown.goodput_per_s == 1.0


def test_utility_and_shares_are_of_the_pictures() -> None:
    samples = [sample(0), sample(1), sample(2, size=1024), sample(3, size=None, status=429)]
    row = summarize(_run(*samples, utilities={512: 0.7, 1024: 1.0}))
    assert row.resolution_shares == pytest.approx({512: 2 / 3, 1024: 1 / 3})
    assert row.mean_utility == pytest.approx(0.8)
    assert summarize(_run(*samples, utilities={512: 0.7})).mean_utility is None


def test_times_in_the_server_are_means_of_those_that_were_told() -> None:
    samples = [sample(0, wait_s=0.1, service_s=0.2), sample(1, wait_s=0.3, service_s=0.2), sample(2)]
    row = summarize(_run(*samples))
    assert (row.mean_wait_ms, row.mean_service_ms) == pytest.approx((200.0, 200.0))
    assert summarize(_run(sample(0))).mean_wait_ms is None


def test_the_servers_overhead_is_what_wait_service_and_encoding_leave() -> None:
    picture = {"b64_json": "x", "size": "512x512", "timings": {"wait_ms": 30.0, "service_ms": 200.0}}
    body = {"data": [picture], "timings": {"total_ms": 245.0, "encode_ms": 12.0}}
    assert read_answer(json.dumps(body).encode(), 200, 1.0).overhead_s == pytest.approx(0.003)
    told = [replace(sample(n), reply=replace(sample(n).reply, overhead_s=1e-3 * (n + 1))) for n in range(3)]
    row = summarize(_run(*told))
    assert (row.overhead_p50_ms, row.overhead_p99_ms) == pytest.approx((2.0, 2.98))
    assert "beside the model p50 2.0 ms, p99 3.0 ms" in load_line(row)
    assert "beside" not in load_line(summarize(_run(sample(0))))


def test_a_run_whose_client_was_late_is_invalid_and_says_why() -> None:
    # 3 of 150 late: the 99th percentile is one of them.
    samples = [sample(n, sent_s=0.05 if n < 3 else 0.0) for n in range(150)]
    row = summarize(_run(*samples))
    assert row.why_invalid(50.1) is None
    assert "99th percentile 50.0 ms, at most 10 ms allowed" in str(row.why_invalid(10.0))


def test_nothing_sent_is_no_run() -> None:
    with pytest.raises(EvaluationError, match="no request was sent"):
        summarize(_run())


def test_the_line_for_logs_has_p50_and_p95() -> None:
    samples = (sample(0, ended_s=0.5), sample(1, ended_s=0.5, status=429))
    assert load_line(summarize(_run(*samples))) == (
        "poisson 2/s: p50 500.0 ms, p95 500.0 ms, p99 500.0 ms, 2 requests, 1 made, 1 refused, in time "
        "0.5000, lag p99 0.0 ms"
    )


def test_a_request_is_a_line_of_the_file(tmp_path: Path) -> None:
    made = sample(0, intended_s=2.0, sent_s=2.001, ended_s=2.25, wait_s=0.01, service_s=0.2)
    write_samples(tmp_path / "samples.csv", [("poisson 2/s", [made, sample(1, status=429, size=None)])])
    with (tmp_path / "samples.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert tuple(first) == COLUMNS
    assert (first["intended_s"], first["sent_s"], first["latency_ms"]) == ("2.000000", "2.001000", "250.000")
    assert (first["status"], first["size"], first["wait_ms"], first["service_ms"]) == (
        "200",
        "512",
        "10.000",
        "200.000",
    )
    assert (second["run"], second["ending"], second["size"]) == ("poisson 2/s", "refused", "")
