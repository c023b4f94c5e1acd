"""What each stage's key depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.compiler import pipeline
from mixdq.compiler.pipeline import Goal, first_stages_of, stages_of
from mixdq.compiler.records import Book, StageRecord, key_of
from mixdq.compiler.saved_recipe import SavedRecipe
from mixdq.compiler.sources import code_digest
from mixdq.compiler.stages import Lane, Stage
from mixdq.configs.target import Target
from mixdq.export.source import open_source


def _stages(root: Path, first: Mapping[str, StageRecord] | None = None) -> list[Stage]:
    """The stages of a folder that a run made; `first` are the records that sized them."""
    saved = SavedRecipe.read(root)
    recipe = saved.recipe(root)
    source, work = open_source(recipe.choice), Book(root / saved.work, None)
    first = first or _records(first_stages_of(recipe, source, work))
    return stages_of(recipe, source, work, Book(root, None), Goal.BUNDLE, first)


def _records(stages: list[Stage]) -> Mapping[str, StageRecord]:
    records: dict[str, StageRecord] = {}
    for stage in stages:
        record = stage.book.find(stage.name, key_of(stage.name, stage.facts(records)))
        assert record is not None, f"{stage.name} is not up to date"
        records[stage.name] = record
    return records


CPU, RTX, SIZES = "cpu", "rtx:sm89", {"unet": " 64", "vae_decoder": " 64"}
PARTS = ("unet", "vae_decoder", "text_encoder_2", "text_encoder")
EXPORTS = {f"export {part}" for part in PARTS}
GRAPHS = {f"graphs {part} {dialect}" for part in PARTS for dialect in ("ort", "tensorrt")}
BUILDS = {target: {f"build {part}{SIZES.get(part, '')} {target}" for part in PARTS} for target in (CPU, RTX)}


def test_every_child_process_says_how_much_memory_it_may_take(tiny_run: Path) -> None:
    stages = _stages(tiny_run)
    assert {stage.lane for stage in stages} == set(Lane)
    assert {stage.name for stage in stages if stage.memory_mib == 0} == {"plan", "ranges", "bundle"}
    assert all(stage.lane is Lane.HERE for stage in stages if stage.memory_mib == 0)


def test_packages_of_several_sizes_compile_side_by_side_and_share_a_stage_of_constants(
    tiny_run: Path,
) -> None:
    saved = SavedRecipe.read(tiny_run)
    recipe = saved.recipe(tiny_run)
    source, work = open_source(recipe.choice), Book(tiny_run / saved.work, None)
    first = _records(first_stages_of(recipe, source, work))
    several = replace(recipe, targets=(Target.parse("cuda:sm90"),), resolutions=(64, 128))
    stages = stages_of(several, source, work, Book(tiny_run, None), Goal.BUNDLE, first)
    needs = {stage.name: stage.needs for stage in stages if "cuda:sm90" in stage.name}
    unet = ("compile unet 64 cuda:sm90", "compile unet 128 cuda:sm90")
    assert needs == {
        **dict.fromkeys(unet, ("plan", "ranges")),
        "compile vae_decoder 64 cuda:sm90": ("plan",),
        "compile vae_decoder 128 cuda:sm90": ("plan",),
        "compile text_encoder_2 cuda:sm90": ("plan",),
        "compile text_encoder cuda:sm90": ("plan",),
        "constants unet cuda:sm90": ("plan", "ranges", *unet),
        "constants vae_decoder cuda:sm90": ("plan", *(name.replace("unet", "vae_decoder") for name in unet)),
        "constants text_encoder_2 cuda:sm90": ("plan", "compile text_encoder_2 cuda:sm90"),
        "constants text_encoder cuda:sm90": ("plan", "compile text_encoder cuda:sm90"),
    }
    assert set(needs) < set(stages[-1].needs)
    assert all(stage.memory_mib > 0 for stage in stages if stage.name in needs)


@pytest.mark.parametrize(
    ("module", "stale"),
    [
        ("mixdq.configs.bundle", {"bundle"}),
        ("mixdq.compiler.paper_stages", {"plan", "ranges", "bundle"}),
        ("mixdq.compiler.torch_stages", {"weights", "tokenizers"}),
        ("mixdq.export.modules", {"layers", "weights", "calibrate", *EXPORTS}),
        ("mixdq.export.graph", EXPORTS),
        ("mixdq.export.skeleton", {*EXPORTS, *GRAPHS}),
        ("mixdq.export.calibrate_size", {"calibrate"}),
        ("mixdq.export.weights", {"weights", "calibrate", *GRAPHS}),
        ("mixdq.export.source", {"bundle"}),
        ("mixdq.configs.plan", {"plan", "bundle", *GRAPHS}),
        ("mixdq.configs.ranges", {"calibrate", "ranges", "bundle", *GRAPHS}),
        ("mixdq.configs.target", {"plan", *GRAPHS}),
        ("mixdq.passes", GRAPHS),
        ("mixdq.compiler.ort_builder", BUILDS[CPU]),
        ("mixdq.compiler.tensorrt_builder", BUILDS[RTX]),
        ("mixdq.runtime", set()),
    ],
)
def test_a_stage_is_done_again_after_its_code_changed(
    module: str, stale: set[str], tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = _records(_stages(tiny_run))
    monkeypatch.setattr(
        pipeline, "code_digest", lambda *names: code_digest(*names) + (" changed" if module in names else "")
    )
    changed = {
        stage.name
        for stage in _stages(tiny_run, records)
        if key_of(stage.name, stage.facts(records)) != records[stage.name].key
    }
    assert changed == stale
