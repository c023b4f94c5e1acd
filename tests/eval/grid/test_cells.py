from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx.parser import parse_model

from mixdq.configs.bundle import Bundle, Component, FileRecord
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import remove
from mixdq.configs.grid_table import CellState
from mixdq.eval.grid.built import built_plan
from mixdq.eval.grid.candidates import Candidate
from mixdq.eval.grid.cells import BackEnd, Cell, cells_of, measure_cells
from mixdq.eval.grid.record import CellRecord
from mixdq.eval.speed.latency_run import Rounds
from mixdq.eval.speed.subject import Drawing

CPU = BackEnd("cpu", "cpu")
ROUNDS = Rounds(warmup=1, repeats=2, processes=1)


def _cells(*bundles: Path, resolutions: tuple[int, ...] = (16,)) -> tuple[Cell, ...]:
    plans = [built_plan(Candidate(root.name, "a test", None, root), root) for root in bundles]
    return cells_of(plans, (CPU,), resolutions, Drawing("abc", 0, 1))


class Measuring:
    """Measures cells, and notes what was measured and said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.titles: set[str] = set()
        self.said: list[str] = []

    def __call__(
        self, cells: tuple[Cell, ...], on_said: Callable[[], object] = lambda: None
    ) -> dict[str, CellRecord]:
        self.titles.clear()
        self.said.clear()

        def say(line: str) -> None:
            self.said.append(line)
            on_said()

        def report(phase: str, done: int, total: int | None) -> None:
            self.titles.add(phase.split(",")[0])

        found = measure_cells(cells, ROUNDS, self.folder, report, say)
        return {cell.name: record for cell, record in found.items()}


@pytest.fixture
def measure(tmp_path: Path) -> Measuring:
    return Measuring(tmp_path / "cells")


def test_a_cell_is_measured_whole_by_its_process(full: Path, measure: Measuring) -> None:
    record = measure(_cells(full))["full-16-cpu"]
    (turn,) = record.turns
    assert set(turn.stages) == {"text", "unet", "vae", "encode", "picture"}
    assert all(len(times) == 2 for times in turn.stages.values())
    assert turn.stages["picture"] > turn.stages["unet"]
    assert 10 < turn.host_baseline_mib < turn.host_peak_mib
    assert turn.others is not None
    assert turn.others >= 0
    assert measure.said[0].startswith(" 1 of 1  full, cpu on cpu, 16 pixels, batch 2: p50 ")


def test_a_grid_that_was_killed_goes_on(full: Path, w8a8: Path, measure: Measuring) -> None:
    cells = _cells(full, w8a8)

    def kill() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(cells, kill)
    assert [path.name for path in measure.folder.iterdir()] == ["full-16-cpu.json"]
    before = (measure.folder / "full-16-cpu.json").read_bytes()
    records = measure(cells)
    assert measure.titles == {"w8a8"}
    assert [len(record.turns) for record in records.values()] == [1, 1]
    assert (measure.folder / "full-16-cpu.json").read_bytes() == before


def test_a_bundle_that_disappears_is_recorded_and_the_others_go_on(
    full: Path, w8a8: Path, make: Callable[..., Path], measure: Measuring
) -> None:
    from mixdq.configs.precision import Precision

    cells = _cells(full, w8a8, make("w4a8", Precision(4, 8)))
    records = measure(cells, lambda: remove(w8a8))
    missed = records["w8a8-16-cpu"].missed
    assert missed is not None
    assert missed.state is CellState.GONE
    assert "disappeared while the grid ran" in missed.reason
    assert records["w4a8-16-cpu"].missed is None
    assert measure.said[1].startswith(" 2 of 3  w8a8, cpu on cpu, 16 pixels, batch 2: bundle gone")


def test_a_cell_whose_bundle_came_back_is_tried_again(
    full: Path, w8a8: Path, tmp_path: Path, measure: Measuring
) -> None:
    cells = _cells(full, w8a8)
    measure(cells, lambda: w8a8.rename(tmp_path / "away") if w8a8.exists() else None)
    (tmp_path / "away").rename(w8a8)
    assert measure(cells)["w8a8-16-cpu"].missed is None


def _swap_unet(root: Path, text: str) -> None:
    bundle = Bundle.read(root)
    old = bundle.find(Component.UNET, "cpu", 16)
    path = root / old.file.path
    onnx.save(parse_model(text), path)
    new = replace(old, file=FileRecord.of(root, path))
    replace(bundle, engines=tuple(new if one == old else one for one in bundle.engines)).write(root)


# 2^44 numbers of 4 bytes.
GREEDY = """<ir_version: 10, opset_import: ["" : 20]> unet (float[2,4,2,2] sample, float timestep,
    float[2,77,5] encoder_hidden_states, float[2,1] text_embeds, float[2,6] time_ids)
    => (float[2,4,2,2] noise_prediction)
<int64[4] shape = {4194304, 4194304, 1, 1}> {
    large = Expand (timestep, shape)
    one = ReduceMax <keepdims=0> (large)
    noise_prediction = Add (sample, one)
}"""


def test_a_cell_that_runs_out_of_memory_is_recorded_and_stays_so(
    full: Path, w8a8: Path, measure: Measuring
) -> None:
    _swap_unet(full, GREEDY)
    cells = _cells(full, w8a8)
    records = measure(cells)
    missed = records["full-16-cpu"].missed
    assert missed is not None
    assert missed.state is CellState.OUT_OF_MEMORY
    assert "--batch 1" in missed.reason
    assert records["w8a8-16-cpu"].missed is None
    measure(cells)
    assert measure.titles == set()


def test_figures_of_other_engines_do_not_count(full: Path, measure: Measuring) -> None:
    measure(_cells(full))
    _swap_unet(full, GREEDY.replace("4194304, 4194304", "2, 2"))
    measure(_cells(full))
    assert measure.titles == {"full"}


def test_two_cells_of_the_same_engines_are_refused_with_both_names(full: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(full, tmp_path / "copy")
    bundle = Bundle.read(tmp_path / "copy")
    replace(bundle, plan_digest="9" * 64).write(tmp_path / "copy")
    with pytest.raises(
        EvaluationError, match=r"full and copy are the same configuration.*same engines at 16"
    ):
        _cells(full, tmp_path / "copy")


def test_a_size_that_a_bundle_lacks_is_refused(full: Path) -> None:
    with pytest.raises(EvaluationError, match="draws 16, 24 pixels, not 32"):
        _cells(full, resolutions=(32,))
