"""Requests over HTTP, against a server that answers as it is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from mixdq.configs.errors import EvaluationError
from mixdq.eval.load.facts import Facts
from mixdq.eval.load.http import Server
from mixdq.eval.load.run import Run, run_schedule
from mixdq.eval.load.sample import Ending
from mixdq.eval.load.schedule import Planned, Wish, make_schedule, warm_up
from mixdq.runtime.simulate.calls import Call, Clients, Poisson
from mixdq.runtime.simulate.trace import Trace

from .conftest import FakeServer, picture, refusal

WISH = Wish(("red apple",), None, None)


def _burst(server: FakeServer, requests: int, clients: int = 1, warm: tuple[Planned, ...] = ()) -> Run:
    schedule = make_schedule(Clients(clients), requests, 0, WISH)
    return run_schedule(schedule, Server(server.url, None, 10.0), warm)


def test_a_picture_s_size_and_times_are_what_the_server_says(fake_server: FakeServer) -> None:
    (sample,) = _burst(fake_server, 1).samples
    reply = sample.reply
    assert (sample.ending, reply.size, reply.wait_s, reply.service_s, reply.batch, reply.late) == (
        Ending.MADE,
        512,
        0.0125,
        0.25,
        1,
        False,
    )


def test_connections_are_used_again(fake_server: FakeServer) -> None:
    _burst(fake_server, 20, clients=2)
    assert len(fake_server.bodies) == 20
    assert len(fake_server.peers) <= 2


def test_a_request_asks_for_what_was_planned_and_for_no_more(fake_server: FakeServer) -> None:
    trace = Trace("x", (Call(0.0, 768, 2.0, 1), Call(0.0)))
    schedule = make_schedule(trace, 2, 0, WISH)
    run_schedule(schedule, Server(fake_server.url, "a-key-of-the-server", 10.0), ())
    plain = {"prompt": "red apple", "n": 1, "response_format": "b64_json"}
    assert sorted(fake_server.bodies, key=lambda body: body["seed"]) == [
        plain | {"size": "768x768", "seed": 0, "slo_ms": 2000.0, "priority": 1},
        plain | {"size": "auto", "seed": 1},
    ]
    assert fake_server.headers[0]["Authorization"] == "Bearer a-key-of-the-server"


@pytest.mark.parametrize(
    ("status", "ending"),
    [(429, Ending.REFUSED), (503, Ending.UNAVAILABLE), (504, Ending.SHED), (400, Ending.REJECTED)],
)
def test_an_error_s_words_are_kept(fake_server: FakeServer, status: int, ending: Ending) -> None:
    fake_server.answer = lambda _: refusal(status)
    (sample,) = _burst(fake_server, 1).samples
    assert (sample.reply.status, sample.ending, sample.reply.message) == (status, ending, "no room")


def test_answers_that_are_none_are_errors_and_end_nothing(fake_server: FakeServer) -> None:
    async def answer(body: dict[str, Any]) -> web.StreamResponse:
        match body["seed"]:
            case 0:
                return web.Response(text="no JSON")
            case 1:
                return web.json_response({"data": []})
            case 2:
                response = web.StreamResponse(headers={"Content-Length": "100"})
                response.force_close()
                return response  # ends before its hundred bytes
        return await picture(body)

    fake_server.answer = answer
    samples = _burst(fake_server, 4).samples
    assert [sample.ending for sample in samples] == [Ending.ERROR] * 3 + [Ending.MADE]
    assert [sample.reply.status for sample in samples] == [200, 200, 0, 200]
    assert all(sample.reply.message for sample in samples[:3])


def test_a_server_that_does_not_answer_in_time_is_an_error(fake_server: FakeServer) -> None:
    async def answer(body: dict[str, Any]) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError("no one waits")

    fake_server.answer = answer
    schedule = make_schedule(Clients(1), 1, 0, WISH)
    (sample,) = run_schedule(schedule, Server(fake_server.url, None, 0.2), ()).samples
    assert (sample.ending, sample.reply.status) == (Ending.ERROR, 0)
    assert "Timeout" in sample.reply.message


def test_more_requests_are_under_way_at_once_than_a_session_s_default(fake_server: FakeServer) -> None:
    everyone = asyncio.Event()

    async def answer(body: dict[str, Any]) -> web.StreamResponse:
        if len(fake_server.bodies) == 150:
            everyone.set()
        await everyone.wait()
        return await picture(body)

    fake_server.answer = answer
    schedule = make_schedule(Poisson(1e6), 150, 0, WISH)
    samples = run_schedule(schedule, Server(fake_server.url, None, 30.0), ()).samples
    assert all(sample.ending is Ending.MADE for sample in samples)


def test_requests_to_warm_up_come_first_and_are_not_counted(fake_server: FakeServer) -> None:
    run = _burst(fake_server, 2, warm=warm_up(3, WISH))
    assert (len(fake_server.bodies), len(run.samples)) == (5, 2)


def test_what_the_server_says_of_itself_is_known_and_nothing_of_one_that_says_nothing(
    fake_server: FakeServer,
) -> None:
    assert _burst(fake_server, 1).facts == Facts(5.0, {512: 0.7, 1024: 1.0}, "W8A8 (BOS-aware)", "deadline")
    fake_server.status["objective_ms"] = None
    assert _burst(fake_server, 1).facts.objective_s is None
    fake_server.status = {}
    assert _burst(fake_server, 1).facts == Facts()


def test_a_server_that_makes_no_picture_is_refused_before_the_run(fake_server: FakeServer) -> None:
    fake_server.answer = lambda _: refusal(422)
    with pytest.raises(EvaluationError, match=r"no picture to warm up with \(status 422: no room\)"):
        _burst(fake_server, 2, warm=warm_up(1, WISH))


def test_a_server_that_is_not_ready_is_said(fake_server: FakeServer) -> None:
    fake_server.ready = 503
    with pytest.raises(EvaluationError, match="is not ready"):
        _burst(fake_server, 1)


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"such as http://127\.0\.0\.1:8000"):
        Server("localhost:8000", None, 1.0)
