"""What was measured of a cell so far, in a file of its own: a grid that is stopped goes on from it."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, median

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text
from mixdq.configs.grid_table import CellState
from mixdq.configs.latency_table import STAGES, LatencyRow
from mixdq.configs.memory_table import MemoryRow
from mixdq.eval.grid.cell_run import Missed, Turn
from mixdq.eval.speed.latency_row import latency_row
from mixdq.eval.speed.subject import Case
from mixdq.eval.timing import Spread


@dataclass(frozen=True, slots=True, config=STRICT)
class CellRecord:
    """A cell's file.

    Attributes:
        engines_sha256: of what ran; figures of other engines don't count.
        turns: what each process measured.
        missed: why there will be no more of them.
    """

    engines_sha256: str
    turns: tuple[Turn, ...]
    missed: Missed | None
    version: int = 1

    def write(self, path: Path) -> None:
        """Writes the file, whole."""
        write_text(path, to_json(self))

    @classmethod
    def read(cls, path: Path, engines_sha256: str) -> CellRecord:
        """What a file holds of these engines; an empty record if there is none, or it is of others.

        A cell that ran out of memory stays so; one that failed, or whose bundle was gone, is tried again.

        Raises:
            EvaluationError: the file has another form.
        """
        empty = cls(engines_sha256, (), None)
        if not path.is_file():
            return empty
        try:
            found = read_json(cls, path, EvaluationError)
        except EvaluationError as error:
            raise EvaluationError(f"{error}; remove it, and the cell is measured again") from error
        if found.engines_sha256 != engines_sha256:
            return empty
        again = found.missed is not None and found.missed.state is not CellState.OUT_OF_MEMORY
        return cls(engines_sha256, found.turns, None) if again else found


def time_rows(case: Case, turns: tuple[Turn, ...], run_digest: str) -> tuple[LatencyRow, ...]:
    """The spread of every stage over all pictures of all turns."""
    rows = []
    for name in STAGES:
        spread = Spread.of([value for turn in turns for value in turn.stages[name]])
        medians = [median(turn.stages[name]) for turn in turns]
        what = ("stage", name, case.subject.label.precision)
        rows.append(latency_row(case, run_digest, what, turns[0].clocks[name], spread, medians))
    return tuple(rows)


def others_of(turns: tuple[Turn, ...]) -> float | None:
    """Processors that other processes kept busy, the mean of the turns; None if nobody counted."""
    counted = [turn.others for turn in turns if turn.others is not None]
    return round(mean(counted), 3) if counted else None


def memory_row(case: Case, turns: tuple[Turn, ...], pictures: int, run_digest: str) -> MemoryRow:
    """The peaks of the turn that took the most."""
    label, most = case.subject.label, max(turns, key=lambda turn: turn.host_peak_mib - turn.host_baseline_mib)
    process, before, peak, after = most.gpu or (None, None, None, None)
    allocated, reserved = most.allocator or (None, None)
    return MemoryRow(
        source=label.source,
        model=label.model,
        precision=label.precision,
        plan_digest=label.plan_digest,
        target=label.target,
        device=label.device,
        resolution=case.resolution,
        batch=case.batch,
        steps=case.drawing.steps,
        weights_mib=_rounded(case.subject.weights_mib(case.resolution)),
        host_baseline_mib=round(most.host_baseline_mib, 1),
        host_peak_mib=round(most.host_peak_mib, 1),
        allocator_allocated_mib=_rounded(allocated),
        allocator_reserved_mib=_rounded(reserved),
        gpu_process_mib=_rounded(process),
        gpu_before_mib=_rounded(before),
        gpu_peak_mib=_rounded(peak),
        gpu_after_mib=_rounded(after),
        pictures=pictures,
        run_digest=run_digest,
    )


def _rounded(mib: float | None) -> float | None:
    return None if mib is None else round(mib, 1)
