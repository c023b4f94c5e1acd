"""SDXL-Turbo at its full size, with synthetic weights: `make test-full`, 27 GB of disk, 13 GB of memory."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from mixdq.compiler.inspect_graph import read_graph
from mixdq.compiler.report import RunReport
from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.target import Dialect
from mixdq.passes.check_form import CheckFormPass
from mixdq.passes.pipeline import apply

_BUILD = Path(__file__).parents[2] / "build"
_FREE_GB = 27
pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not (_BUILD / "full").is_dir() and shutil.disk_usage(_BUILD.parent).free < _FREE_GB * 1e9,
        reason=f"the full size needs {_FREE_GB} GB of disk",
    ),
]
_MODEL = ("run", "sdxl-turbo", "--weights", "synthetic", "--work", str(_BUILD / "full-work"))
_W8A8 = (*_MODEL, "--target", "rtx:sm89", "--prompt-count", "1", "--calibration-resolution", "512")
_GB, _MIB_PER_GIB = 1e9, 1024


def compile_it(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from mixdq.compiler.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bundle() -> Path:
    folder = _BUILD / "full"
    compile_it(*_W8A8, "--out", str(folder))
    return folder


@pytest.fixture(scope="module")
def half() -> Iterator[Path]:
    """FP16 at 512; removed at the end, because it is large."""
    folder = _BUILD / "full-fp16"
    precision = ("--weight-bits", "16", "--activation-bits", "16", "--resolution", "512")
    calibration = ("--prompt-count", "1", "--calibration-resolution", "512")
    compile_it(*_MODEL, "--target", "rtx:sm89", *precision, *calibration, "--out", str(folder))
    yield folder
    shutil.rmtree(folder)


def test_the_bundle_holds_what_was_asked_for_within_memory_and_disk(bundle: Path) -> None:
    engines = Bundle.read(bundle).engines
    sizes = {(engine.component, engine.resolution) for engine in engines}
    resolutions = (512, 768, 1024)
    assert sizes == {
        *((Component.UNET, size) for size in resolutions),
        *((Component.VAE_DECODER, size) for size in resolutions),
        (Component.TEXT_ENCODER, None),
        (Component.TEXT_ENCODER_2, None),
    }
    report = RunReport.read(bundle)
    assert max(stage.peak_mib or 0 for stage in report.stages) < 10 * _MIB_PER_GIB
    folders = (bundle, _BUILD / "full-work")
    written = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
    assert written < 18 * _GB


def test_every_resolution_reads_one_weights_file(bundle: Path) -> None:
    files = sorted(path.name for path in (bundle / "onnx" / "tensorrt").glob("unet*"))
    assert files == ["unet-1024.onnx", "unet-512.onnx", "unet-768.onnx", "unet.weights"]
    assert (bundle / "onnx" / "tensorrt" / "unet.weights").stat().st_size < 1.01 * 2_567_463_684
    assert sum(path.stat().st_size for path in (_BUILD / "full-work" / "source").iterdir()) < 0.05 * _GB


@pytest.mark.parametrize("resolution", [512, 768, 1024])
def test_the_graph_holds_exactly_the_plan(bundle: Path, resolution: int) -> None:
    path = bundle / "onnx" / "tensorrt" / f"unet-{resolution}.onnx"
    table, plan = LayerTable.read(bundle / "layers.json"), PrecisionPlan.read(bundle / "plan.yaml")
    apply(ir.passes.Sequential(CheckFormPass(plan, table, Dialect.TENSORRT)), ir.load(path))
    facts = read_graph(path)
    assert (facts.bos_constants, facts.bos_values) == (140, 166_400)
    assert sorted(first for first, _ in facts.splits.values()) == [320] * 2 + [640] * 3 + [1280] * 4
    coverage = facts.coverage
    assert (coverage.layers, coverage.weights, coverage.inputs, coverage.stray) == (794, 794, 785, 0)


def test_a_second_run_has_nothing_to_do(bundle: Path) -> None:
    assert "nothing to do" in compile_it(*_W8A8, "--out", str(bundle))


def test_quantized_follows_full_precision_in_onnx_runtime(bundle: Path) -> None:
    found = compile_it("verify", str(bundle), "--resolution", "512")
    ratios = [float(text) for text in re.findall(r"(-?\d+\.\d) │", found)]
    assert len(ratios) == 33
    assert np.isfinite(ratios).all()
    assert min(ratios) > 10


def test_an_int8_engine_has_half_the_bytes_of_an_fp16_engine(bundle: Path, half: Path) -> None:
    int8, fp16 = (
        Bundle.read(folder).find(Component.UNET, "rtx:sm89", 512).file.bytes for folder in (bundle, half)
    )
    assert int8 < 0.52 * fp16
