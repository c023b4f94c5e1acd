from __future__ import annotations

import io

from rich.console import Console

from mixdq.compiler.progress import terminal_watch
from mixdq.compiler.records import StageRecord
from mixdq.compiler.worker import Progress

_NAMES = ("build unet 1024 rtx:sm120", "build text_encoder_2 rtx:sm120", "graphs text_encoder_2 tensorrt")


def test_a_stage_that_runs_takes_one_line_of_80_with_its_whole_name_and_phase() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with terminal_watch(console) as watch:
        for name in _NAMES:
            watch.started(name)
            watch.progressed(name, Progress("Determining refit engines", 3, 10))
        paper = Console(file=io.StringIO(), width=80)
        paper.print(watch._progress.get_renderable())
    assert isinstance(paper.file, io.StringIO)
    lines = paper.file.getvalue().splitlines()
    assert len(lines) == len(_NAMES)
    for line, name in zip(lines, _NAMES, strict=True):
        assert name in line
        assert "Determining refit engines 0:00:0" in line


def test_a_stage_that_is_done_takes_one_line_of_60_whatever_it_took() -> None:
    output = io.StringIO()
    with terminal_watch(Console(file=output, width=60)) as watch:
        for name in _NAMES:
            watch.started(name)
            watch.finished(StageRecord(name, "k", (), None, 1234.5, 17300.2))
    assert output.getvalue().splitlines() == [f"{name:<36} 1234.5 s   17300 MiB" for name in _NAMES]
