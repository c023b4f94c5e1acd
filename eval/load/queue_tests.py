"""The matrix measured: a server of one's own for each bundle and policy."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mixdq.configs.bundle import Bundle
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.eval.load.http import Server
from mixdq.eval.load.launch import launched
from mixdq.eval.load.matrix import (
    CHOOSING,
    RESULTS,
    Cell,
    Choosing,
    cell_line,
    make_cell,
    patterns,
    weight_bits,
    write_cells,
)
from mixdq.eval.load.run import Run, run_schedule
from mixdq.eval.load.schedule import Wish, make_schedule, warm_up
from mixdq.eval.load.summary import Summary, summarize
from mixdq.runtime.simulate.calls import Clients, Pattern

FOLDER = "queue_tests"

_READY_S = 300.0
_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Matrix:
    """What is measured.

    Attributes:
        bundles: folders.
        serve: arguments of `mixdq-serve`, without the policy.
        static_pixels: of the static policy; None for a bundle's largest.
        adaptive: the adaptive policy, `deadline` or `thresholds`.
        requests: of each pattern.
        seed: of the arrivals.
        prompts: taken in turns.
        warmup: requests that are sent before each pattern and not counted.
        max_lag_ms: how late 99 of 100 requests may be sent.
    """

    bundles: tuple[Path, ...]
    serve: tuple[str, ...]
    static_pixels: int | None
    adaptive: str
    requests: int
    seed: int
    prompts: tuple[str, ...]
    warmup: int
    max_lag_ms: float

    @property
    def settings(self) -> dict[str, str]:
        """What the figures depend on, in words."""
        return {
            "bundles": ", ".join(map(str, self.bundles)),
            "mixdq-serve": shlex.join(self.serve),
            "requests of each pattern": str(self.requests),
            "seed": str(self.seed),
            "warm-up": str(self.warmup),
            **describe_machine(),
            **installed_versions("mixdq", "onnxruntime"),
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """What a matrix gave.

    Attributes:
        cells: a row a bundle, policy and pattern.
        lines: the same as text, with p50 and p95.
        invalid: why rows are the client's figures and not the server's; empty if all are the server's.
    """

    cells: tuple[Cell, ...]
    lines: tuple[str, ...]
    invalid: tuple[str, ...]

    def write(self, folder: Path, settings: Mapping[str, str]) -> None:
        """Writes `mixdq_queue_results.csv` and `.txt`."""
        write_cells(folder / f"{RESULTS}.csv", self.cells)
        head = [f"# {name}: {text}" for name, text in settings.items()]
        write_text(folder / f"{RESULTS}.txt", "\n".join([*head, *self.lines, *self.invalid, ""]))


def measure_matrix(matrix: Matrix, folder: Path, watch: Callable[[str], None]) -> Measured:
    """Measures all of it: 12 rows a bundle.

    Args:
        matrix: what to measure.
        folder: for the servers' logs.
        watch: is told what is measured now.

    Raises:
        EvaluationError: two bundles have the same rows, the adaptive policy lacks utilities, a server can't
            be started, or makes no picture.
        BundleError: a bundle is missing.
    """
    _check(matrix)
    rows: list[_Row] = []
    policies = [(bundle, _policies(matrix, bundle)) for bundle in matrix.bundles]
    for number, (bundle, words) in enumerate(policies):
        for choosing in CHOOSING:
            case = f"{bundle}, {words[choosing]}"
            watch(f"{case}: starting")
            arguments = (str(bundle), "--policy", words[choosing], *matrix.serve)
            log = folder / f"server-{number}-{choosing}.log"
            with launched(arguments, log, _READY_S) as server:
                for pattern in patterns():
                    watch(f"{case}: {pattern.name}")
                    run = _run(matrix, pattern, Server(server.url, None, _TIMEOUT_S))
                    summary = summarize(run)
                    plan = run.facts.precision or ""
                    rows.append((make_cell(summary, choosing, words[choosing], str(bundle), plan), summary))
    return Measured(
        tuple(cell for cell, _ in rows),
        tuple(cell_line(cell, summary) for cell, summary in rows),
        tuple(
            f"{cell.bundle}, {cell.served}: {reason}"
            for cell, summary in rows
            if (reason := summary.why_invalid(matrix.max_lag_ms)) is not None
        ),
    )


def _check(matrix: Matrix) -> None:
    """Refuses what would be refused, or could not be drawn, after a quarter of an hour."""
    bits = {bundle: weight_bits(Bundle.read(bundle).plan_summary) for bundle in matrix.bundles}
    if len(set(bits.values())) < len(matrix.bundles):
        words = ", ".join(f"{bundle} {found}" for bundle, found in bits.items())
        raise EvaluationError(
            f"rows are told apart by the bits of their weights ({words}): give one bundle each"
        )
    if matrix.adaptive == "deadline" and not {"--utility", "--quality"} & set(matrix.serve):
        raise EvaluationError(
            "the deadline policy weighs what pictures of each size are worth: say it with --utility "
            "PIXELS=U, once a resolution, or pass --adaptive thresholds"
        )


_Row: TypeAlias = tuple[Cell, Summary]


def _run(matrix: Matrix, pattern: Pattern | Clients, server: Server) -> Run:
    wish = Wish(matrix.prompts, None, None)
    schedule = make_schedule(pattern, matrix.requests, matrix.seed, wish)
    return run_schedule(schedule, server, warm_up(matrix.warmup, wish))


def _policies(matrix: Matrix, bundle: Path) -> dict[Choosing, str]:
    pixels = matrix.static_pixels or max(Bundle.read(bundle).resolutions)
    return {"static": f"static:{pixels}", "adaptive": matrix.adaptive}
