"""The earlier experiment's matrix: bursts and Poisson arrivals, static and adaptive, for each bundle."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from mixdq.configs.errors import EvaluationError, StorageError
from mixdq.configs.files import write_text
from mixdq.eval.load.report import load_line
from mixdq.eval.load.summary import Summary
from mixdq.runtime.simulate.calls import Clients, Pattern, Poisson

CONCURRENCIES = (1, 2)
RATES_PER_S = (0.5, 1.0, 2.0, 4.0)

Choosing = Literal["static", "adaptive"]
"""Whether the load has a say in the resolution."""

CHOOSING: tuple[Choosing, ...] = ("static", "adaptive")

RESULTS = "mixdq_queue_results"


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the results.

    The first seven are the earlier experiment's, by their names there.

    Attributes:
        pattern: `burst` or `poisson`.
        wbits: bits of most of the bundle's weights.
        policy: `static` or `adaptive`.
        conc: of a burst, clients that wait for their answers; None for Poisson arrivals.
        lam: of Poisson arrivals, requests a second; None for a burst.
        p95_ms: of the latency from the intended sending; None here and below if no picture was made.
        p99_ms: likewise.
        p50_ms: likewise.
        requests: how many were sent.
        made: how many pictures came.
        dropped_share: of the requests, those that were refused, shed or failed.
        in_time_share: of the requests; None if the server has no objective.
        per_s: pictures a second.
        mean_utility: of a picture; None if utilities are not known.
        lag_p99_ms: how late the client sent.
        served: the server's name of the policy.
        bundle: the folder.
        plan: in words.
    """

    pattern: Literal["burst", "poisson"]
    wbits: str
    policy: Choosing
    conc: int | None
    lam: float | None
    p95_ms: float | None
    p99_ms: float | None
    p50_ms: float | None
    requests: int
    made: int
    dropped_share: float
    in_time_share: float | None
    per_s: float
    mean_utility: float | None
    lag_p99_ms: float
    served: str
    bundle: str
    plan: str


def patterns() -> tuple[Pattern | Clients, ...]:
    """The six patterns of arrivals."""
    return (*(Clients(count) for count in CONCURRENCIES), *(Poisson(rate) for rate in RATES_PER_S))


def make_cell(summary: Summary, policy: Choosing, served: str, bundle: str, plan: str) -> Cell:
    """The row of one pattern at one server."""
    burst = bool(summary.clients)
    return Cell(
        pattern="burst" if burst else "poisson",
        wbits=weight_bits(plan),
        policy=policy,
        conc=summary.clients if burst else None,
        lam=None if burst else summary.rate_per_s,
        p95_ms=summary.p95_ms,
        p99_ms=summary.p99_ms,
        p50_ms=summary.p50_ms,
        requests=summary.requests,
        made=summary.made,
        dropped_share=1 - summary.made / summary.requests,
        in_time_share=summary.in_time_share,
        per_s=summary.made / summary.seconds,
        mean_utility=summary.mean_utility,
        lag_p99_ms=summary.lag_p99_ms,
        served=served,
        bundle=bundle,
        plan=plan,
    )


def cell_line(cell: Cell, summary: Summary) -> str:
    """A row as text, with p50 and p95."""
    bits = f"{cell.wbits} bits" if cell.wbits.isdecimal() else cell.wbits
    return f"{bits}, {cell.policy} ({cell.served}), {load_line(summary)}"


def weight_bits(plan: str) -> str:
    """`8` of `W8A8, 2 of 264 layers W8A16 (…)`, `FP16` of `FP16`: the precision of most weights."""
    word = plan.split(",")[0].split()[0]
    return word[1:].split("A")[0] if word.startswith("W") else word


def write_cells(path: Path, cells: Sequence[Cell]) -> None:
    """Writes a CSV file, a line a cell."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(Cell)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(_plain(cell) for cell in cells)
    write_text(path, out.getvalue())


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the plots need of a row; the earlier experiment's files have no more.

    Attributes:
        pattern: `burst` or `poisson`.
        wbits: of most weights.
        policy: `static` or `adaptive`.
        conc: of a burst; None otherwise.
        lam: of Poisson arrivals; None otherwise.
        p95_ms: None here and below if no picture was made.
        p99_ms: likewise.
    """

    pattern: str
    wbits: str
    policy: str
    conc: int | None
    lam: float | None
    p95_ms: float | None
    p99_ms: float | None


def read_cells(path: Path) -> tuple[Drawn, ...]:
    """Reads what the plots need of a CSV file of results; further columns don't matter.

    Raises:
        EvaluationError: columns are missing, it has no row, a cell is no number, or two rows are the same
            case.
        StorageError: the file can't be read.
    """
    needed = [field.name for field in fields(Drawn)]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in needed if name not in (reader.fieldnames or ())]:
                raise EvaluationError(
                    f"{path} holds no results of a load matrix: it has no column {', '.join(missing)}; give "
                    f"the {RESULTS}.csv that `mixdq-eval load-matrix` wrote"
                )
            cells = tuple(_drawn(path, line, row) for line, row in enumerate(reader, start=2))
    except OSError as error:
        raise StorageError(f"could not read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{path} is no CSV file: {error}") from error
    if not cells:
        raise EvaluationError(f"{path} has no row; run `mixdq-eval load-matrix` to its end")
    cases = [(cell.pattern, cell.wbits, cell.policy, cell.conc, cell.lam) for cell in cells]
    if twice := [case for case in cases if cases.count(case) > 1]:
        words = ", ".join(str(word) for word in twice[0] if word is not None)
        raise EvaluationError(f"{path} has two rows of one case ({words}); give files of one run each")
    return cells


def _drawn(path: Path, line: int, row: dict[str, str]) -> Drawn:
    try:
        return Drawn(
            row["pattern"],
            row["wbits"],
            row["policy"],
            int(row["conc"]) if row["conc"] else None,
            *(float(row[name]) if row[name] else None for name in ("lam", "p95_ms", "p99_ms")),
        )
    except (ValueError, TypeError) as error:
        raise EvaluationError(f"{path}, line {line}: {error}") from error


def _plain(cell: Cell) -> dict[str, object]:
    return {
        name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(cell).items()
    }
