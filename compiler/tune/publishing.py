"""Publishing: the bundle with the engine that was measured, and its plan with the reasons."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mixdq.compiler.run import run
from mixdq.compiler.saved_recipe import PLAN_FILE
from mixdq.compiler.stages import Watch
from mixdq.compiler.tune.loop import Round
from mixdq.compiler.tune.order import TuneOrder
from mixdq.compiler.tune.record import RECORD_FILE, TuneRecord
from mixdq.configs.bundle import Bundle
from mixdq.configs.errors import MixdqError
from mixdq.configs.files import remove, write_text
from mixdq.configs.plan import PrecisionPlan

BUNDLE_FOLDER = "bundle"


def publish(order: TuneOrder, plan: PrecisionPlan, record: TuneRecord, folder: Path, watch: Watch) -> None:
    """Makes a bundle of the folder that holds the measured UNet, and moves it to where it is published.

    Args:
        order: what was tuned.
        plan: the tuned plan, legal for its target.
        record: says why layers were returned.
        folder: holds the UNet's engines.
        watch: told how it goes.
    """
    recipe = replace(order.recipe, plan=plan)
    run(recipe, folder, work=order.work, jobs=order.jobs, watch=watch, source=order.source)
    withdraw(order.out)
    folder.rename(order.out / BUNDLE_FOLDER)
    write_text(order.out / PLAN_FILE, in_yaml(plan, record))


def in_yaml(plan: PrecisionPlan, record: TuneRecord) -> str:
    """The plan's file, which begins with the reasons as comments."""
    conditions, machine = record.conditions, record.conditions.machine
    lines = [
        f"tuned for {conditions.target} on {machine['processor']}, GPU {machine['gpu']}",
        f"{len(record.returned)} layers were returned to floating point; {RECORD_FILE} has the measurements",
        *(f"  {one.layer}: {one.why}: {one.reason}" for one in record.returned),
    ]
    return "".join(f"# {line}\n" for line in lines) + plan.to_yaml()


def is_published(out: Path, best: Round) -> bool:
    """Whether a folder has the bundle of a plan with the engine that was measured, and the plan."""
    with suppress(MixdqError):
        bundle = Bundle.read(out / BUNDLE_FOLDER)
        files = {record for engine in bundle.engines for record in (engine.file, *engine.weights)}
        measured = best.trial.engines.items() <= {(file.path, file.sha256) for file in files}
        intact = measured and all(file.is_intact(out / BUNDLE_FOLDER) for file in files)
        return intact and PrecisionPlan.read(out / PLAN_FILE).digest == best.plan.digest
    return False


def withdraw(out: Path) -> None:
    """Takes back what an earlier tuning published: the plan, then the bundle, then what is said of them."""
    for name in (PLAN_FILE, BUNDLE_FOLDER, RECORD_FILE):
        remove(out / name)
