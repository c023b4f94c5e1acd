"""Legal plans of SDXL-Turbo at its full size, with synthetic weights: 18 GB of disk, 10 GB of memory."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from mixdq.compiler.layers_of import layers_of
from mixdq.compiler.legal.totals import stored_bytes
from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.layers import Group, LayerName, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.sensitivity import Metric, Operand, Scores, SensitivityTable

_BUILD = Path(__file__).parents[2] / "build"
_FREE_GB = 18
_RELEASED = os.environ.get("MIXDQ_RELEASED_FILES")
pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT for RTX is not installed"
    ),
    pytest.mark.skipif(
        shutil.disk_usage(_BUILD.parent).free < _FREE_GB * 1e9,
        reason=f"the full size needs {_FREE_GB} GB of disk",
    ),
]
SM89 = "rtx:sm89"


def compile_it(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from mixdq.compiler.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layers.json of SDXL-Turbo."""
    path = tmp_path_factory.mktemp("sdxl") / "layers.json"
    layers_of("sdxl-turbo").write(path)
    return path


@pytest.fixture(scope="module")
def half_bytes() -> int:
    """Of the FP16 engine."""
    return _engine_bytes(SM89, "--weight-bits", 16, "--activation-bits", 16)


def _engine_bytes(target: str, *plan: object) -> int:
    """Compiles at 512 pixels with a plan's options; says how large the UNet's engine was, and removes it."""
    folder = _BUILD / "full-legal"
    run = ("run", "sdxl-turbo", "--weights", "synthetic", "--work", _BUILD / "full-work", "--target", target)
    sizes = ("--resolution", 512, "--prompt-count", 1, "--calibration-resolution", 512)
    try:
        compile_it(*run, *sizes, *plan, "--out", folder)
        return Bundle.read(folder).find(Component.UNET, target, 512).file.bytes
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _legal(wish: Path, layers: Path, target: str) -> Path:
    """The wish made legal."""
    out = wish.with_suffix(".legal.yaml")
    compile_it("legalize", wish, "--layers", layers, "--target", target, "--out", out)
    return out


@pytest.mark.parametrize(("target", "count"), [("sm75", 160), ("sm80", 251), ("sm89", 331), ("sm120", 331)])
def test_every_shape_in_every_legal_form_builds_in_one_graph(target: str, count: int, layers: Path) -> None:
    words = ("targets", f"rtx:{target}", "--probe", "--together", "--layers", layers, "--json")
    (found,) = json.loads(compile_it(*words))
    assert found["taken"]
    assert found["layers"] == count
    assert found["peak_mib"] < 6 * 1024


@pytest.mark.parametrize("target", ["rtx:sm80", SM89])
def test_four_bit_weights_take_a_quarter_of_an_fp16_engine(
    target: str, layers: Path, half_bytes: int, tmp_path: Path
) -> None:
    wish = tmp_path / "w4a16.yaml"
    four_bits = ("--uniform", "--weight-bits", 4, "--activation-bits", 16)
    compile_it("plan", "sdxl-turbo", *four_bits, "--out", wish)
    assert half_bytes > 2 * 2_567_463_684
    assert _engine_bytes(target, "--plan", _legal(wish, layers, target)) < 0.26 * half_bytes


def test_a_bit_map_of_the_papers_kind_is_made_legal_and_builds(layers: Path, tmp_path: Path) -> None:
    sensitivity, wish = tmp_path / "sensitivity.json", tmp_path / "wish.yaml"
    _made_up_sensitivity(LayerTable.read(layers)).write(sensitivity)
    means = ("--weight-bits", 4, "--activation-bits", 7.77)
    compile_it("allocate", layers, "--sensitivity", sensitivity, *means, "--out", wish)
    asked = PrecisionPlan.read(wish).layers.values()
    assert {precision.weight_bits for precision in asked} == {2, 4, 8}
    assert [precision.activation_bits for precision in asked].count(16) == 9
    _check_that_it_builds(wish, layers)


@pytest.mark.skipif(_RELEASED is None, reason="MIXDQ_RELEASED_FILES names no folder")
@pytest.mark.parametrize(("weights", "activations"), [("8.00", "8.00"), ("4.00", "7.77")])
def test_a_released_bit_map_is_made_legal_and_builds(
    weights: str, activations: str, layers: Path, tmp_path: Path
) -> None:
    assert _RELEASED is not None
    wish, folder = tmp_path / "wish.yaml", Path(_RELEASED)
    maps = (folder / "weight" / f"weight_{weights}.yaml", folder / "act" / f"act_{activations}.yaml")
    compile_it("bitmaps", "sdxl-turbo", *maps, "--out", wish)
    _check_that_it_builds(wish, layers)


def _check_that_it_builds(wish: Path, layers: Path) -> None:
    """That its legal form has an engine of the weights that were promised and little more."""
    legal = _legal(wish, layers, SM89)
    plan = PrecisionPlan.read(legal)
    assert plan.realization is not None
    promised = stored_bytes(plan, plan.realization, LayerTable.read(layers), float_bytes=2)
    assert promised < _engine_bytes(SM89, "--plan", legal) < 1.1 * promised


def _made_up_sensitivity(table: LayerTable) -> SensitivityTable:
    """More bits score higher; SSIM below 1, SQNR up to 60 dB."""
    draw, widths = random.Random(0), (2, 4, 8)

    def scores(names: Sequence[LayerName], low: float, high: float) -> Scores:
        return {name: tuple(sorted(draw.uniform(low, high) for _ in widths)) for name in names}

    every = [layer.name for layer in table]
    content = [layer.name for layer in table if layer.group is Group.CONTENT]
    return SensitivityTable(
        model=None,
        layers_digest=table.digest,
        measurement=None,
        widths=dict.fromkeys(Operand, widths),
        scores={
            operand: {Metric.SQNR: scores(every, 5, 60), Metric.SSIM: scores(content, 0.7, 1)}
            for operand in Operand
        },
    )
