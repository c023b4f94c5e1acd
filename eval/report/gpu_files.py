"""What the trials on a GPU wrote: times of a UNet in several ways, and of kernels one by one."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, parse, read_json
from mixdq.configs.errors import EvaluationError, StorageError
from mixdq.configs.files import sha256_of_file

MACHINE_FILE = "machine.json"
KINDS_FILE = "kinds.csv"

_LOOSE = ConfigDict(extra="ignore")


@dataclass(frozen=True, slots=True, config=STRICT)
class UnetTime:
    """One way of running a UNet, of `mixdq-eval unet-speed`.

    Attributes:
        run: one start of the machine; empty if there was one.
        way: what ran.
        resolution: pixels.
        batch: pictures at once.
        ms: median of a call.
        ms_q1: a quarter of the calls took no longer.
        ms_q3: a quarter took at least as long.
        runs: calls.
        allocated_mib: torch's allocator's peak; None if it says nothing of this way.
        db: SQNR of the output against FP16 in torch; None if equal.
    """

    run: str
    way: str
    resolution: int
    batch: int
    ms: float
    ms_q1: float
    ms_q3: float
    runs: int
    allocated_mib: float | None
    db: float | None


@dataclass(frozen=True, slots=True, config=STRICT)
class KernelKind:
    """The kernels of one kind in one call of a UNet; `share` is of all its kernels' time."""

    run: str
    way: str
    resolution: int
    batch: int
    kernels: str
    us: float
    launches: int
    share: float = 0.0

    @property
    def call(self) -> tuple[str, str, int, int]:
        """Whose kernels they are."""
        return self.run, self.way, self.resolution, self.batch


@dataclass(frozen=True, slots=True)
class GpuTrial:
    """A folder of `mixdq-eval unet-speed`: `unet.csv` and what is beside it.

    Attributes:
        times: one a way that was timed.
        missing: the others, and why; `w8a8 at 512 pixels, batch 1: …`.
        kinds: of `kinds.csv`; empty without it.
        machine: of `machine.json`.
        versions: of the same.
        commands: of the same.
        beside: SHA-256 of the files beside `unet.csv` that were read, by name.
    """

    times: tuple[UnetTime, ...]
    missing: tuple[str, ...]
    kinds: tuple[KernelKind, ...]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    commands: tuple[str, ...]
    beside: Mapping[str, str]


@dataclass(frozen=True, slots=True, config=_LOOSE)
class Spread:
    """Microseconds of a launch: median and range."""

    median: float
    least: float
    greatest: float


@dataclass(frozen=True, slots=True, config=_LOOSE)
class KernelRow:
    """One operator at one shape: this project's kernel beside torch's in half precision.

    Attributes:
        resolution: pixels at which SDXL-Turbo's UNet calls it.
        operator: which kernel.
        work: M x N x K, or the convolution's sizes.
        count: calls of it in one call of the UNet.
        kernel: this project's.
        half: torch's, FP16.
    """

    resolution: int
    operator: str
    work: str
    count: int
    kernel: Spread
    half: Spread


@dataclass(frozen=True, slots=True, config=_LOOSE)
class KernelBenchmark:
    """What `mixdq.compiler.cuda.kernels.benchmark` wrote."""

    command: str
    gpu: str
    torch: str
    triton: str
    python: str
    batch: int
    rows: tuple[KernelRow, ...]


def read_gpu_trial(path: Path) -> GpuTrial:
    """Reads a `unet.csv`, the `machine.json` beside it and, if there is one, `kinds.csv`.

    Raises:
        EvaluationError: one of them has another form, or nothing says which machine it was.
        StorageError: one can't be read.
    """
    facts_path, kinds_path = path.with_name(MACHINE_FILE), path.with_name(KINDS_FILE)
    if not facts_path.is_file():
        raise EvaluationError(
            f"{path} has no {MACHINE_FILE} beside it, so nobody knows which machine its times are of"
        )
    facts = read_json(dict, facts_path, EvaluationError)
    beside = [facts_path, *([kinds_path] if kinds_path.is_file() else [])]
    rows = tuple(_rows(path))
    if not rows:
        raise EvaluationError(f"{path} has no row")
    kinds = _rows(kinds_path) if kinds_path.is_file() else ()
    return GpuTrial(
        tuple(_time(row, path) for row in rows if not row.get("missing")),
        tuple(_missing(row) for row in rows if row.get("missing")),
        _with_shares([_kind(row, kinds_path) for row in kinds]),
        parse(dict[str, str], facts.get("machine"), f"machine of {facts_path}", EvaluationError),
        parse(dict[str, str], facts.get("versions"), f"versions of {facts_path}", EvaluationError),
        tuple(_commands(facts)),
        {file.name: sha256_of_file(file) for file in beside},
    )


def _commands(facts: Mapping[str, Any]) -> Iterator[str]:
    if "command" in facts:
        yield str(facts["command"])
    for lines in dict(facts.get("commands", {})).values():
        yield from map(str, lines)


def _time(row: Mapping[str, str], path: Path) -> UnetTime:
    known = {name: row[name] for name in UnetTime.__dataclass_fields__ if row.get(name)}
    missing: dict[str, Any] = {"run": "", "allocated_mib": None, "db": None}
    if known.get("db") == "inf":
        del known["db"]
    return parse(UnetTime, {**missing, **known}, str(path), EvaluationError)


def _missing(row: Mapping[str, str]) -> str:
    return f"{row.get('way')} at {row.get('resolution')} pixels, batch {row.get('batch')}: {row['missing']}"


def _kind(row: Mapping[str, str], path: Path) -> KernelKind:
    """A row; the kind's column had another name at first, and there was one batch."""
    plain = {"run": "", "batch": 1, **row}
    if "kind" in plain:
        plain["kernels"] = plain.pop("kind")
    return parse(KernelKind, plain, str(path), EvaluationError)


def _with_shares(kinds: Sequence[KernelKind]) -> tuple[KernelKind, ...]:
    whole: dict[tuple[str, str, int, int], float] = {}
    for kind in kinds:
        whole[kind.call] = whole.get(kind.call, 0.0) + kind.us
    return tuple(replace(kind, share=kind.us / whole[kind.call]) for kind in kinds)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)
    except OSError as error:
        raise StorageError(f"could not read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{path} is no CSV file: {error}") from error
