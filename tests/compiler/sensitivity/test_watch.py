"""A pipe gets a line now and then."""

from mixdq.compiler.sensitivity.watch import sparse_lines


def test_a_pipe_gets_each_phase_once_and_then_a_line_every_thirty_seconds() -> None:
    lines: list[str] = []
    now = 0.0
    report = sparse_lines("it", lambda line, **_: lines.append(line), lambda: now)
    report("opening", 0, None)
    for now in (1.0, 2.0, 20.0, 31.5, 40.0, 70.0):
        report(f"layers, {100 - now:.0f} s left", int(now), 100)
    assert lines == [
        "it: opening",
        "it: 1 of 100 layers, 99 s left",
        "it: 31 of 100 layers, 68 s left",
        "it: 70 of 100 layers, 30 s left",
    ]
