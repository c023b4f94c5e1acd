"""Two bundles of the tiny model: itself, and one whose pictures are a little brighter at 16 pixels."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.documents import read_json
from mixdq.configs.errors import BundleError
from mixdq.configs.presets import preset_for
from mixdq.configs.sqnr import IDENTICAL_PSNR_DB
from mixdq.eval.comparison import Comparison, compare
from mixdq.eval.demo import PROMPTS as DEMO_PROMPTS
from mixdq.eval.demo import sample_sheet
from mixdq.eval.demo_report import DemoReport
from mixdq.runtime import load

SwapEngine = Callable[[Component, str], None]
PROMPTS, SEEDS = ("abc", "zz"), (3, 4)
_BRIGHTER = """<ir_version: 10, opset_import: ["" : 20]>
    vae (float[2,4,2,2] latents) => (float[2,3,16,16] images)
    <int64[3] rgb = {0, 1, 2}, float gain = {0.05}, float[4] scales = {1.0, 1.0, 8.0, 8.0},
     float more = {0.1}> {
        channels = Gather <axis=1> (latents, rgb)
        dimmed = Mul (channels, gain)
        lifted = Add (dimmed, more)
        images = Resize <mode="nearest"> (lifted, "", scales)
    }"""


@pytest.fixture
def compared(tiny_bundle: Path, swap_engine: SwapEngine) -> Comparison:
    reference = load(tiny_bundle)
    for resolution in (16, 24):
        reference("abc", seed=0, resolution=resolution)
    swap_engine(Component.VAE_DECODER, _BRIGHTER)
    return compare({"plain": reference, "brighter": load(tiny_bundle)}, PROMPTS, SEEDS, rounds=2)


@pytest.fixture
def report(compared: Comparison) -> DemoReport:
    machine = {"processor": "a processor", "cores": "2"}
    return DemoReport(
        model="tiny",
        prompts=PROMPTS,
        seeds=SEEDS,
        rows=compared.rows,
        plans={"plain": "as it was", "brighter": "shipped w5a8"},
        compile_s={"plain": 1.0},
        rtx="not built",
        machine=machine,
        versions=(),
        note="A note.",
    )


def test_there_is_a_row_for_every_resolution_and_variant(compared: Comparison) -> None:
    found = [(row.resolution, row.variant) for row in compared.rows]
    assert found == [(16, "plain"), (16, "brighter"), (24, "plain"), (24, "brighter")]


def test_only_the_variant_that_differs_is_unlike_the_reference(compared: Comparison) -> None:
    plain, brighter, _, same = compared.rows
    assert plain.similarity is None
    assert brighter.similarity is not None
    # Pixels that don't clip are 12.75 levels brighter: at least 20 log10(255 / 13) = 25.8 dB.
    assert all(25 < value < 60 for value in brighter.similarity.psnr_db)
    assert all(value < 1 for value in brighter.similarity.ssim)
    assert same.similarity is not None
    assert same.similarity.psnr_db == (IDENTICAL_PSNR_DB, IDENTICAL_PSNR_DB)
    assert same.similarity.mean_ssim == pytest.approx(1)


def test_bytes_are_those_of_the_unet_s_file(compared: Comparison, tiny_bundle: Path) -> None:
    record = Bundle.read(tiny_bundle).find(Component.UNET, "cpu", 24)
    assert compared.rows[2].onnx_bytes == record.file.bytes
    assert compared.rows[2].rtx_bytes is None


def test_the_report_s_file_reads_back(report: DemoReport, tmp_path: Path) -> None:
    report.write(tmp_path / "report.json")
    assert read_json(DemoReport, tmp_path / "report.json", BundleError) == report


def test_the_table_shows_every_figure(report: DemoReport) -> None:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(report.table())
    shown = captured.get()
    for row in report.rows:
        assert f"{row.unet.median_ms:.1f}" in shown
        if row.similarity:
            assert f"{row.similarity.mean_psnr_db:.1f}" in shown
            assert f"{row.similarity.mean_ssim:.3f}" in shown
    assert "a processor, 2 cores" in shown
    assert "A note." in shown
    assert [line.strip() for line in shown.splitlines()][-3:] == [
        "Plans:",
        "- plain: as it was",
        "- brighter: shipped w5a8",
    ]


def test_the_sheet_shows_the_largest_pictures_of_every_variant(
    report: DemoReport, compared: Comparison
) -> None:
    sheet = sample_sheet(report, compared.pictures)
    assert sheet.columns == ("plain", "brighter")
    assert [label for label, _ in sheet.rows] == list(PROMPTS)
    first = sheet.rows[0][1]
    assert [cell.caption for cell in first] == ["reference", f"{IDENTICAL_PSNR_DB} dB"]
    assert first[0].picture.size == (24, 24)


def test_the_demo_s_prompts_are_not_those_of_the_calibration() -> None:
    calibration = preset_for("emoji-turbo").prompts_file.read_text().lower().splitlines()
    assert len(DEMO_PROMPTS) == 8
    assert not {prompt.lower() for prompt in DEMO_PROMPTS} & {line.strip() for line in calibration}
