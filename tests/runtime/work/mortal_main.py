"""A worker like any other, but for some prompts: `die` ends its process, `defect` is an error of its own."""

from __future__ import annotations

import os
import signal
import sys

from mixdq.runtime.pipeline import Pipeline
from mixdq.runtime.work.job import Job, Pixels
from mixdq.runtime.work.main import Draw, drawer, main


def mortal(pipeline: Pipeline) -> Draw:
    """Draws as a worker does."""
    alive = drawer(pipeline)

    def draw(job: Job) -> tuple[Pixels, ...]:
        if "die" in job.prompts:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "defect" in job.prompts:
            raise ZeroDivisionError("a defect of the worker")
        return alive(job)

    return draw


if __name__ == "__main__":
    main(sys.argv[1:], mortal)
