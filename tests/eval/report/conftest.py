"""Small results for the report: real pictures, and tables with figures that are easy to tell apart."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixdq.configs.files import sha256_of_file
from mixdq.configs.latency_table import LatencyRow, LatencyTable
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.memory_table import MemoryRow, MemoryTable
from mixdq.configs.quality_table import QualityRow, QualityTable, Score
from mixdq.eval.image_set import ImageRecord, ImageSet, Painter
from mixdq.eval.load.report import LoadReport
from mixdq.eval.load.summary import Summary

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "configs/search/emoji-turbo"
PERFORMANCE = ROOT / "docs/performance"

MODEL = ModelIdentity("tiny", "0" * 64)
MACHINE = {"processor": "One", "cores": "2", "gpu": "none", "system": "Linux", "python": "3.11"}
VERSIONS = {"mixdq": "0.1.0"}
FULL, W8A8, NAIVE = "f" * 64, "8" * 64, "9" * 64
PLANS = {
    "full": (FULL, "FP16"),
    "mixdq": (W8A8, "W8A8 (BOS-aware, split shortcuts)"),
    "naive": (NAIVE, "W8A8 (not BOS-aware, split shortcuts)"),
}
PROMPTS = ("a red apple", "a cat & a <b>dog</b>", "a tree")


def draw(folder: Path, plan: str, count: int = len(PROMPTS)) -> ImageSet:
    """A folder of pictures of 64 pixels, each of its own noise."""
    folder.mkdir(parents=True)
    records = []
    for index, prompt in enumerate(PROMPTS[:count]):
        values = np.random.default_rng([index, len(plan)]).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        path = folder / f"{index}.png"
        Image.fromarray(values).resize((64, 64), Image.Resampling.NEAREST).save(path)
        records.append(ImageRecord(index, prompt, index, path.name, sha256_of_file(path)))
    digest, words = PLANS[plan]
    painter = Painter("bundle", MODEL, words, digest, {}, "cpu", "cpu", "euler", 1, 64)
    images = ImageSet(painter, "a" * 64, count, tuple(records), MACHINE, VERSIONS)
    images.write(folder)
    return images


def quality(
    value: float = 30.0, count: int = 3, machine: dict[str, str] = MACHINE, reference: str = "c"
) -> QualityTable:
    """PSNR of two sets against full precision's."""

    def row(plan: str, psnr: float) -> QualityRow:
        digest, words = PLANS[plan]
        scores = (
            Score("PSNR dB", psnr, psnr - 1, psnr + 1, count, True, None, None),
            Score("FID-EffLite0", 400 / psnr, None, None, count, False, None, None),
        )
        return QualityRow(
            *(f"images/{plan}", f"{plan:b<64}", "a" * 64, MODEL, words, digest, 64, 1, "euler", scores)
        )

    return QualityTable(
        reference="images/full",
        reference_sha256=reference * 64,
        reference_count=count,
        reference_plan="FP16",
        reference_plan_digest=FULL,
        reference_steps=1,
        rows=(row("mixdq", value), row("naive", value / 2)),
        not_scored={"CLIP": "its weights are missing"},
        machine=machine,
        versions=VERSIONS,
    )


def latency(machine: dict[str, str] = MACHINE, factor: float = 1.0) -> LatencyTable:
    """Whole pictures of three plans: 50, 40 and 41 ms on the usual machine."""
    times = {"full": 50e3, "mixdq": 40e3, "naive": 41e3}
    rows = []
    for plan, (digest, words) in PLANS.items():
        for name, share in (("unet", 0.5), ("vae", 0.5), ("picture", 1.0)):
            time = factor * share * times[plan]
            spread = (time, time, time, time, 10, 3, 0.9 * time, 1.1 * time)
            rows.append(
                LatencyRow(
                    *(name, "stage", words, digest, "cpu", "cpu", 64, 1),
                    *spread,
                    *(f"build/{plan}", "tiny", 1, "wall", "d" * 64),
                )
            )
    return LatencyTable(tuple(rows), machine, VERSIONS)


def memory(machine: dict[str, str] = MACHINE, factor: float = 1.0) -> MemoryTable:
    """Peaks of the same plans: 100, 60 and 61 MiB above the imports."""
    peaks = {"full": factor * 100.0, "mixdq": factor * 60.0, "naive": factor * 61.0}
    return MemoryTable(
        tuple(
            MemoryRow(
                source=f"build/{plan}",
                model="tiny",
                precision=words,
                plan_digest=digest,
                target="cpu",
                device="cpu",
                resolution=64,
                batch=1,
                steps=1,
                weights_mib=10.0,
                host_baseline_mib=70.0,
                host_peak_mib=70.0 + peaks[plan],
                allocator_allocated_mib=None,
                allocator_reserved_mib=None,
                gpu_process_mib=None,
                gpu_before_mib=None,
                gpu_peak_mib=None,
                gpu_after_mib=None,
                pictures=2,
                run_digest="d" * 64,
            )
            for plan, (digest, words) in PLANS.items()
        ),
        machine,
        VERSIONS,
    )


def load() -> LoadReport:
    """Poisson arrivals at 1 and 4 a second."""
    counts = (18, 2, 0, 0, 0, 0)
    base = Summary(
        *("poisson", 1.0, 0, 20, 20.0, 1000.0, 1.0, 100.0, 150.0, 160.0, 10.0, 90.0, 1.0, 2.0, 1.0, 0.9),
        *counts,
        {64: 1.0},
        *(0.1, 0.2, 0.3),
    )
    busy = replace(base, rate_per_s=4.0, p50_ms=300.0, p95_ms=700.0, p99_ms=900.0, in_time_share=0.9)
    return LoadReport({"server": "http://localhost"}, (base, busy), (), ((), ()), MACHINE, VERSIONS)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder of pictures, tables and a load test."""
    return fill(tmp_path / "results")


@pytest.fixture(scope="session")
def all_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with plans, sensitivities and a reproduction that ship, and a GPU's; not to be changed."""
    folder = fill(tmp_path_factory.mktemp("report") / "results")
    shutil.copytree(SHIPPED, folder / "search")
    shutil.copytree(PERFORMANCE / "h200", folder / "h200")
    shutil.copy(PERFORMANCE / "kernels-h200.json", folder)
    for name in ("fig7", "table1"):
        shutil.copy(ROOT / f"docs/results/{name}/{name}.json", folder)
    return folder


def fill(folder: Path) -> Path:
    """Writes small results into a folder."""
    for plan in PLANS:
        draw(folder / "images" / plan, plan)
    quality().write(folder / "quality.json")
    latency().write(folder / "latency.json")
    memory().write(folder / "memory.json")
    load().write(folder / "load.json")
    return folder
