"""What each stage's key depends on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from mixdq.compiler import pipeline
from mixdq.compiler.pipeline import Goal, first_stages_of, stages_of
from mixdq.compiler.records import Book, StageRecord, key_of
from mixdq.compiler.saved_recipe import SavedRecipe
from mixdq.compiler.sources import code_digest
from mixdq.compiler.stages import Stage
from mixdq.export.source import open_source


def _stages(root: Path) -> list[Stage]:
    saved = SavedRecipe.read(root)
    recipe = saved.recipe(root)
    source, work = open_source(recipe.choice), Book(root / saved.work, None)
    first = _records(first_stages_of(recipe, source, work))
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
TORCH = {"layers", "weights", "calibrate", "tokenizers", *EXPORTS}
GRAPHS = {f"graphs {part} {dialect}" for part in PARTS for dialect in ("ort", "tensorrt")}
BUILDS = {target: {f"build {part}{SIZES.get(part, '')} {target}" for part in PARTS} for target in (CPU, RTX)}


@pytest.mark.parametrize(
    ("module", "stale"),
    [
        ("mixdq.configs.bundle", {"bundle"}),
        ("mixdq.compiler.paper_stages", {"plan", "ranges", "bundle"}),
        ("mixdq.compiler.torch_stages", TORCH),
        ("mixdq.export", {*TORCH, "bundle"}),
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
        for stage in _stages(tiny_run)
        if key_of(stage.name, stage.facts(records)) != records[stage.name].key
    }
    assert changed == stale
