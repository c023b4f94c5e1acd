"""A tuning from end to end: engines built by `run`'s stages, measured in children, published whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from mixdq.compiler.allocate.amounts import memory_in_words
from mixdq.compiler.legal.choices import Rules
from mixdq.compiler.legal.legalize import Legalized, legalize
from mixdq.compiler.legal.totals import stored_bytes
from mixdq.compiler.recipe import Recipe, Uniform
from mixdq.compiler.saved_recipe import RANGES_FILE
from mixdq.compiler.sources import code_digest
from mixdq.compiler.stages import Watch
from mixdq.compiler.tune.cases import CaseOrder, Cases, find_cases
from mixdq.compiler.tune.engines import Built, build_engines, find_table
from mixdq.compiler.tune.instrument import Runs
from mixdq.compiler.tune.journal import Conditions, Journal
from mixdq.compiler.tune.loop import Chosen, Round, choose, tune
from mixdq.compiler.tune.measuring import MeasureOrder, measure
from mixdq.compiler.tune.order import TuneOrder
from mixdq.compiler.tune.paired import least_runs
from mixdq.compiler.tune.publishing import is_published, publish, withdraw
from mixdq.compiler.tune.record import TuneRecord
from mixdq.compiler.tune.trial import Outputs, Times, Trial
from mixdq.compiler.worker import Report, run_in_child
from mixdq.configs.bundle import Component
from mixdq.configs.capability import find_capability
from mixdq.configs.errors import PlanError, RequestError
from mixdq.configs.files import remove
from mixdq.configs.layers import LayerTable
from mixdq.configs.machine import describe_machine
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FP16
from mixdq.configs.ranges import RangeTable

JOURNAL_FILE, ROUNDS = "tune.measured", "rounds"
_MEASURING = (
    *("cases", "clipping", "device_run", "instrument", "kernel_owners", "measuring", "ort_instrument"),
    *("ort_profile", "paired", "tensorrt_instrument", "tensorrt_owners", "trial"),
)
FULL_PRECISION = Uniform(FP16, (), (), bos_aware=False, split_shortcuts=False)


def tune_model(order: TuneOrder, watch: Watch, step: Callable[[str], Report]) -> TuneRecord:
    """Tunes a plan and publishes the result, if one may be; `tune.json` says which.

    Args:
        order: what to tune.
        watch: told how the stages go.
        step: told how a named step goes.

    Raises:
        PlanError: a plan of another model, that quantizes nothing, or that is over the memory budget.
        TargetError: a plan that was made legal for another target.
        RequestError: fewer runs than tell anything about so many layers.
        EvaluationError: an earlier tuning measured otherwise; or full precision can't be measured.
        MixdqError: as `run`.
    """
    _check_plan(order)
    table = find_table(order.recipe, order.source, order.work, jobs=order.jobs, watch=watch)
    _check_runs(order.runs, table)
    asked = order.recipe.plan_for(table)
    made = _legal(asked, table, order)
    tuning = _Tuning(order, table, watch, step)
    with Journal.open(order.out / JOURNAL_FILE, restart=order.restart) as journal:
        conditions = tuning.conditions()
        journal.begin(conditions)
        float_bytes = find_capability(order.capability).table.float_bytes

        def measured(plan: PrecisionPlan) -> Trial:
            return journal.trials.get(plan.digest) or tuning.measure(plan, journal)

        while True:
            rounds = tune(made.plan, table, order.limits, float_bytes, measured)
            chosen = choose(rounds, order.limits, allow_slower=order.allow_slower)
            # A builder that picks its kernels by timing them may have built another engine than the one
            # that was measured, if that is gone: then it is measured, and everything is decided again.
            if chosen.best is None or not tuning.measured_again(chosen.best, journal):
                break
    record = TuneRecord.of(
        conditions, order.limits, order.allow_slower, asked.digest, made.changes, rounds, chosen
    )
    tuning.finish(record, chosen)
    return record


def _check_plan(order: TuneOrder) -> None:
    """What is known of a plan before the model's layers are."""
    plan = order.recipe.plan
    if not plan.quantizes:
        raise PlanError("the plan quantizes no layer, so that there is nothing to tune; give one that does")
    if isinstance(plan, PrecisionPlan):
        plan.check_target(order.capability)


def _check_runs(runs: Runs, table: LayerTable) -> None:
    least = least_runs(len(table))
    if runs.repeats < least:
        raise RequestError(
            f"{runs.repeats} runs tell nothing about {len(table)} layers at once; use --repeats {least} "
            "or more"
        )


def _legal(asked: PrecisionPlan, table: LayerTable, order: TuneOrder) -> Legalized:
    rules = Rules(find_capability(order.capability), None, False)
    made = legalize(asked, table, rules)
    if not made.plan.quantizes:
        raise PlanError(
            f"nothing that {order.capability} runs has the plan's bits but floating point, so that there is "
            "nothing to tune; `mixdq-compile legalize` says why"
        )
    assert made.plan.realization is not None
    size = stored_bytes(made.plan, made.plan.realization, table, rules.capability.table.float_bytes)
    budget = order.limits.bytes
    if budget is not None and size > budget:
        raise PlanError(
            f"the plan takes {memory_in_words(8 * size, up=True)} on {order.capability}, more than --memory "
            f"{memory_in_words(8 * budget)}, and tuning only adds to that; give a smaller plan, or raise it"
        )
    return made


class _Tuning:
    """The impure part: builds, measures, publishes."""

    def __init__(
        self, order: TuneOrder, table: LayerTable, watch: Watch, step: Callable[[str], Report]
    ) -> None:
        self._order, self._table, self._watch, self._step = order, table, watch, step
        self._cases: Mapping[int, Cases] = {}
        self._rounds = order.out / ROUNDS
        full = replace(order.recipe, plan=FULL_PRECISION)
        components = (Component.UNET, Component.VAE_DECODER)
        self._full = self._build(full, self._rounds / "full", components)

    def conditions(self) -> Conditions:
        order = self._order
        ranges = RangeTable.read(self._rounds / "full" / RANGES_FILE)
        return Conditions(
            model=order.source.identity.name,
            model_digest=order.source.identity.digest,
            layers_digest=self._table.digest,
            ranges_digest=ranges.digest,
            target=order.capability,
            resolutions=order.recipe.resolutions,
            batch=order.recipe.batch,
            prompts=order.prompts,
            seed=order.seed,
            warmup=order.runs.warmup,
            repeats=order.runs.repeats,
            full=_digests(self._full),
            machine=describe_machine(),
            versions=order.instrument.describe(),
            code=code_digest(*(f"mixdq.compiler.tune.{name}" for name in _MEASURING)),
        )

    def measure(self, plan: PrecisionPlan, journal: Journal) -> Trial:
        """Builds a plan's UNet and measures it; the journal has it when this returns."""
        unets = self._unets(plan)
        found = {resolution: self._at(unets, resolution) for resolution in self._order.recipe.resolutions}
        assert plan.realization is not None
        float_bytes = find_capability(self._order.capability).table.float_bytes
        trial = Trial(
            plan=plan.digest,
            quantized=sum(precision.quantizes_weight for precision in plan.layers.values()),
            bytes=stored_bytes(plan, plan.realization, self._table, float_bytes),
            engines=_digests(unets),
            times={resolution: times for resolution, (times, _) in found.items()},
            outputs={resolution: outputs for resolution, (_, outputs) in found.items()},
        )
        journal.add(trial)
        return trial

    def measured_again(self, best: Round, journal: Journal) -> bool:
        """Whether the engine that would be published is another than the one that was measured."""
        if is_published(self._order.out, best):
            return False
        if _digests(self._unets(best.plan)) == best.trial.engines:
            return False
        self.measure(best.plan, journal)
        return True

    def finish(self, record: TuneRecord, chosen: Chosen) -> None:
        """Publishes what was chosen, or takes back what an earlier tuning published; the record is last."""
        order = self._order
        if chosen.best is None:
            withdraw(order.out)
        elif not is_published(order.out, chosen.best):
            publish(order, chosen.best.plan, record, self._folder(chosen.best.plan), self._watch)
        record.write(order.out)
        for folder in self._rounds.iterdir():
            if folder.name != "full":
                remove(folder)

    def _at(self, unets: Built, resolution: int) -> tuple[Times, Outputs]:
        order = self._order
        if not self._cases:
            cases = CaseOrder(order.source, order.prompts, order.seed, order.recipe.batch)
            self._cases = run_in_child(
                find_cases, cases, order.recipe.resolutions, report=self._step("text")
            ).value
        job = MeasureOrder(
            full=self._full[Component.UNET, resolution],
            candidate=unets[Component.UNET, resolution],
            decoder=self._full[Component.VAE_DECODER, resolution],
            cases=self._cases[resolution],
            table=self._table,
            runs=order.runs,
            instrument=order.instrument,
        )
        return run_in_child(measure, job, report=self._step(f"measure {resolution}")).value

    def _unets(self, plan: PrecisionPlan) -> Built:
        return self._build(replace(self._order.recipe, plan=plan), self._folder(plan), (Component.UNET,))

    def _folder(self, plan: PrecisionPlan) -> Path:
        return self._rounds / plan.digest[:16]

    def _build(self, recipe: Recipe, folder: Path, components: tuple[Component, ...]) -> Built:
        order = self._order
        return build_engines(
            recipe,
            order.source,
            folder,
            components,
            work=order.work,
            jobs=order.jobs,
            watch=self._watch,
        )


def _digests(built: Built) -> dict[str, str]:
    return {path: digest for engine in built.values() for path, digest in engine.digests.items()}
