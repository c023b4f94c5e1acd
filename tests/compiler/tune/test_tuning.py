"""`mixdq-compile tune` on real engines of a small untrained model, on the CPU."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from mixdq.compiler.legal.choices import Rules
from mixdq.compiler.legal.legalize import legalize
from mixdq.compiler.tune.record import TuneRecord
from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.capability import find_capability
from mixdq.configs.gpu import find_gpu
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import Precision

Command = Callable[..., CompletedProcess[str]]

LINEAR, CONVOLUTION = (
    LayerName("mid_block.attentions.0.proj_in"),
    LayerName("mid_block.resnets.0.conv1"),
)


@dataclass(frozen=True)
class Tuned:
    """A finished tuning and the command that made it."""

    out: Path
    words: tuple[object, ...]
    done: CompletedProcess[str]


@pytest.fixture(scope="module")
def tuned(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_run: Path, mixdq_compile: Command
) -> Tuned:
    """Two layers quantized, so that there are two rounds at most; read only."""
    folder = tmp_path_factory.mktemp("tune")
    shutil.copytree(tiny_run / "work", folder / "work")
    table = LayerTable.read(tiny_run / "layers.json")
    others = [layer.name for layer in table if layer.name not in (LINEAR, CONVOLUTION)]
    plan = uniform_plan(table, Precision(8, 8), keep=others, protect=(), bos_aware=True, split_shortcuts=True)
    plan.write(folder / "wish.yaml")
    words = (
        *("tune", tiny_model, "--plan", folder / "wish.yaml", "--out", folder / "out"),
        *("--work", folder / "work", "--resolution", "64", "--prompt-count", "2", "--pictures", "2"),
        *("--repeats", "14", "--warmup", "1", "--threads", "1", "--allow-slower"),
    )
    return Tuned(folder / "out", words, mixdq_compile(*words))


def test_every_layer_of_every_round_has_a_time_and_outputs_are_finite(tuned: Tuned, tiny_run: Path) -> None:
    assert tuned.done.returncode == 0, tuned.done.stderr
    record, table = TuneRecord.read(tuned.out), LayerTable.read(tiny_run / "layers.json")
    assert 1 <= len(record.rounds) <= 2
    for each in record.rounds:
        times, outputs = each.trial.times[64], each.trial.outputs[64]
        assert set(times.layers) == set(table.by_name)
        assert outputs.finite
        assert outputs.psnr_db is not None
        assert set(each.trial.engines) == {"onnx/ort/unet-64.onnx", "onnx/ort/unet.weights"}
    assert record.rounds[0].trial.quantized == 2


def test_the_published_plan_is_legal_and_its_bundle_is_the_engine_that_was_measured(
    tuned: Tuned, tiny_run: Path
) -> None:
    record, plan = TuneRecord.read(tuned.out), PrecisionPlan.read(tuned.out / "plan.yaml")
    table = LayerTable.read(tiny_run / "layers.json")
    assert plan.digest == record.published
    assert legalize(plan, table, Rules(find_capability("cpu"), None, False), strict=True).plan == plan
    trial = next(each.trial for each in record.rounds if each.trial.plan == plan.digest)
    bundle = Bundle.read(tuned.out / "bundle")
    engine = bundle.find(Component.UNET, "cpu", 64)
    assert {file.path: file.sha256 for file in (engine.file, *engine.weights)} == trial.engines
    assert bundle.plan_digest == plan.digest
    returned = {one.layer for one in record.returned}
    assert {name for name in (LINEAR, CONVOLUTION) if not plan[name].quantizes_weight} == returned
    first = (tuned.out / "plan.yaml").read_text().splitlines()[:2]
    assert (
        first[1]
        == f"# {len(returned)} layers were returned to floating point; tune.json has the measurements"
    )
    assert [path.name for path in (tuned.out / "rounds").iterdir()] == ["full"]


def test_what_was_measured_is_not_measured_again(tuned: Tuned, mixdq_compile: Command) -> None:
    journal = tuned.out / "tune.measured"
    before, made = journal.read_bytes(), (tuned.out / "bundle" / "bundle.json").stat().st_mtime_ns
    again = mixdq_compile(*tuned.words)
    assert again.returncode == 0, again.stderr
    assert again.stdout == tuned.done.stdout
    assert journal.read_bytes() == before
    assert (tuned.out / "bundle" / "bundle.json").stat().st_mtime_ns == made


def test_a_refusal_takes_back_what_was_published(
    tuned: Tuned, tmp_path: Path, mixdq_compile: Command
) -> None:
    out = Path(shutil.copytree(tuned.out, tmp_path / "out"))
    words = [out if word == tuned.out else word for word in tuned.words]
    # Without room for a returned layer nothing is measured anew.
    size = TuneRecord.read(out).rounds[0].trial.bytes
    refused = mixdq_compile(*words, "--floor", "119", "--memory", f"{size / 1024 + 0.25}KiB")
    assert refused.returncode == 1, refused.stderr
    assert "nothing is published: the memory budget forbids to return" in refused.stdout
    assert "the floor is 119 dB" in refused.stdout
    assert not (out / "plan.yaml").exists()
    assert not (out / "bundle").exists()
    assert TuneRecord.read(out).published is None


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--memory", "1KiB"), "more than --memory 1KiB"),
        (("--repeats", "3"), "3 runs tell nothing about"),
        (("--pictures", "0"), "--pictures 0 is out of bounds"),
        (("--weight-bits", "8"), "--plan names the precision of every layer"),
    ],
)
def test_contradictory_options_are_refused(
    tuned: Tuned, mixdq_compile: Command, words: tuple[str, ...], named: str
) -> None:
    refused = mixdq_compile(*tuned.words, *words)
    assert (refused.returncode, named in refused.stderr) == (2, True), refused.stderr
    assert refused.stderr.count("error:") == 1


@pytest.mark.skipif(find_gpu() is not None, reason="the machine has a GPU")
def test_a_target_without_its_hardware_exits_with_what_it_needs(
    tmp_path: Path, mixdq_compile: Command
) -> None:
    refused = mixdq_compile("tune", "emoji-turbo", "--out", tmp_path / "out", "--target", "rtx:sm89")
    assert refused.returncode == 2
    assert not (tmp_path / "out").exists()
    assert "rtx:sm89 needs an NVIDIA GPU of compute capability 8.9" in refused.stderr
