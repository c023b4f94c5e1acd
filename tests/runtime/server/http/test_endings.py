"""How a request ends whose picture is not made, as its client sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mixdq.configs.bundle import Bundle
from mixdq.runtime.work.job import Event, Failed, Job, Lost
from mixdq.runtime.work.null import NullWork

from .serving import thread_server, until


class _Worker(NullWork):
    """Makes grey pictures, but for those of some prompts."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle.resolutions)
        self._tell: Callable[[Event], None] | None = None

    def start(self, listen: Callable[[Event], None]) -> None:
        self._tell = listen
        super().start(listen)

    def submit(self, job: Job) -> None:
        assert self._tell is not None
        if "overflow" in job.prompts:
            self._tell(Failed(job.number, "the unet engine gave values that are not finite"))
        elif "poison" in job.prompts:
            self._tell(Lost("its process was ended by SIGSEGV"))
        else:
            super().submit(job)


def test_a_picture_that_can_not_be_made_is_500_and_the_server_goes_on(tiny_folder: Path) -> None:
    with thread_server(tiny_folder, work=_Worker) as client:
        answer = client.draw(prompt="overflow")
        assert (answer.status, answer.error["code"]) == (500, "unmakeable")
        assert "not finite" in answer.error["message"]
        assert answer.headers["x-should-retry"] == "false"
        assert client.draw().status == 200
        assert client.counts()["error"] == 1


def test_one_that_ends_two_workers_is_poison_and_not_tried_again(tiny_folder: Path) -> None:
    with thread_server(tiny_folder, work=_Worker) as client:
        first = client.draw(prompt="poison", seed=1)
        assert (first.status, first.error["code"]) == (500, "poison")
        until(lambda: client.get("/health/ready").status == 200)
        assert client.get("/status").json["workers"][0]["restarts"] == 2
        again = client.draw(prompt="poison", seed=1)
        assert (again.status, again.error["code"]) == (500, "poison")
        assert client.draw(seed=1).status == 200
        counts = client.counts()
        assert (counts["error"], counts["refused"], counts["done"]) == (1, 1, 1)


def test_one_whose_deadline_passes_while_no_worker_is_there_is_504(tiny_folder: Path) -> None:
    with thread_server(tiny_folder, work=_Worker) as client:
        answer = client.draw(prompt="poison", slo_ms=100)
        assert (answer.status, answer.error["code"]) == (504, "deadline_passed")
        assert answer.error["type"] == "server_error"
        assert client.counts()["shed"] == 1
