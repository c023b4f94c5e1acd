"""What tuning chooses from and how; the timing itself needs a GPU."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch
import typer
from typer.testing import CliRunner

from mixdq.compiler.cuda.kernels import benchmark, tune
from mixdq.compiler.cuda.kernels.benchmark import Row, report
from mixdq.compiler.cuda.kernels.candidates import candidates
from mixdq.compiler.cuda.kernels.shapes import RESOLUTIONS, Form, entries_of
from mixdq.compiler.cuda.kernels.tiles import Shape, Tile
from mixdq.compiler.cuda.kernels.timing import Time, copies_of, shape_of
from mixdq.compiler.cuda.kernels.tune import Trial, distinct_entries, fastest
from mixdq.configs.errors import MachineError

SHARED_BYTES_OF_A_HOPPER_GPU = 227 * 1024


@pytest.mark.parametrize("form", [*Form])
def test_every_shape_has_candidates_that_fit(form: Form) -> None:
    for shape, entry in distinct_entries(form, RESOLUTIONS, 1).items():
        tiles = candidates(shape)
        assert tiles, entry
        for tile in tiles:
            operands = tile.block_m + tile.block_n
            assert operands * tile.block_k * tile.stages <= SHARED_BYTES_OF_A_HOPPER_GPU


def test_sums_are_split_only_where_tiles_are_few() -> None:
    few, many = Shape("int8_linear", 256, 1280, 5120), Shape("int8_linear", 4096, 5120, 2560)
    assert any(tile.splits > 1 for tile in candidates(few))
    assert all(tile.splits == 1 for tile in candidates(many))


def test_split_sums_must_win_what_their_reader_loses() -> None:
    shape = Shape("int8_linear", 1024, 1280, 5120)
    whole = Trial(shape, Tile(64, 64, 128, 4, 4), 18.2)
    split = Trial(shape, Tile(128, 128, 128, 4, 3, splits=3), 15.6)
    assert fastest([whole, split]) == whole
    assert fastest([whole, split], split_surcharge=0.02) == split


def test_a_batch_multiplies_rows_alone() -> None:
    (entry, *_) = entries_of(Form.INT8, 512)
    assert shape_of(entry, 4) == Shape("int8_linear", 4096, 1920, 640)


def test_copies_of_a_weight_exceed_the_cache() -> None:
    assert copies_of(1280 * 1280) * 1280 * 1280 > 60 * 2**20
    assert copies_of(2**30) == 2


def test_a_report_sums_what_the_unet_does() -> None:
    kernel, half = Time(5.0, 4.9, 5.1), Time(10.0, 9.9, 10.1)
    row = Row(512, "int8_linear", "256x1280x1280", 100, Tile(64, 64, 128, 4, 4, splits=3), kernel, half, 1e-3)
    text = report([row, row])
    assert "| 100 | 5.0 | 10.0 | 2.00 | 200 | 64x64x128 w4 s4 /3 |" in text
    assert "| all | | | 1.00 ms | 2.00 ms | 2.00 |" in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize(("app", "arguments"), [(benchmark.app, []), (tune.app, ["out.json"])])
def test_timing_without_a_gpu_is_refused(app: typer.Typer, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, MachineError)
    assert "CUDA finds none here" in str(result.exception)


def test_a_trial_is_stored_as_plain_json() -> None:
    trial = Trial(Shape("int8_geglu", 1, 2, 3), Tile(64, 64, 128, 4, 3), 1.5)
    assert json.loads(json.dumps(asdict(trial)))["tile"]["block_k"] == 128
