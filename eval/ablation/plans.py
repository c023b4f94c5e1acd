"""The plan of each row: uniform, by one programme over all layers, or decoupled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.allocate.allocation import allocate
from mixdq.compiler.allocate.baselines import Baseline, baseline
from mixdq.compiler.allocate.budgets import Split, split_budgets
from mixdq.compiler.allocate.protection import PAPER_SHARE, protected_layers
from mixdq.compiler.allocate.subject import ALL_WIDTHS, PAPER_WIDTHS, Part, Subject, Widths, parts_of
from mixdq.compiler.allocate.sweep import ratio_sweep
from mixdq.configs.errors import PlanError
from mixdq.configs.layers import Group, LayerName, LayerTable
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import FLOAT_BITS, FP16, Precision
from mixdq.configs.sensitivity import PAPER_METRICS, Metric, Objective, Operand, SensitivityTable
from mixdq.eval.ablation.cases import CASES, Case, Step

_RATIOS = tuple(0.45 + (1.36 - 0.45) * place / 19 for place in range(20))
"""The paper's range of the split, as finely as its grids."""

_MOST_BITS = 8


@dataclass(frozen=True, slots=True)
class RowPlan:
    """A row's plan, and how it came to be.

    Attributes:
        plan: checked against the model's layers.
        how: in words.
    """

    plan: PrecisionPlan
    how: str


@dataclass(frozen=True, slots=True)
class PlanMaker:
    """Makes the plans of a model's rows; the same for the same tables.

    Attributes:
        table: the model's layers.
        sensitivity: checked against them.
        resolution: pixels at which activations are counted.
        ratio: mean weight bits of content over those of quality in the decoupled rows; None for the one of
            twenty, over the paper's range, whose programmes promise the most. The rows by lost noise have it
            too, and 1 for None.
        given: plans that were searched, by the row whose place they take.
    """

    table: LayerTable
    sensitivity: SensitivityTable
    resolution: int
    ratio: float | None
    given: Mapping[str, RowPlan]

    def make(self, case: Case) -> RowPlan:
        """The plan of a row.

        Raises:
            PlanError: the sensitivities lack a width or metric.
            InfeasibleError: a budget that no choice keeps.
        """
        if case.name in self.given:
            return self.given[case.name]
        match case.step:
            case Step.FULL | Step.NAIVE | Step.BOS:
                return self._uniform(case)
            case Step.MIXED:
                return self._mixed(case)
            case Step.MIXDQ:
                return self._decoupled(case)
            case Step.NOISE:
                return self._by_noise(case)

    def _uniform(self, case: Case) -> RowPlan:
        floating = case.step is Step.FULL
        precision = FP16 if floating else Precision(int(case.weight_bits), case.activation_bits)
        plan = uniform_plan(
            self.table,
            precision,
            keep=(),
            protect=(),
            bos_aware=case.step is Step.BOS,
            split_shortcuts=not floating,
        )
        return RowPlan(plan, "nothing is quantized" if floating else f"all layers {precision}")

    def _mixed(self, case: Case) -> RowPlan:
        """Not decoupled: one order of all layers by SQNR decides which are protected and which get bits."""
        protected = self._protected_by_sqnr() if self._quantizes_activations(case) else ()
        subject = self._subject(case, dict.fromkeys(Group, Metric.SQNR), protected)
        budgets = self._budgets(case, subject, ratio=1.0)
        made = baseline(subject, budgets, Baseline.SQNR, seed=0)
        how = f"one programme over all layers, by SQNR{_in_words(protected)}"
        return RowPlan(made.plan(bos_aware=True, split_shortcuts=True), how)

    def _decoupled(self, case: Case) -> RowPlan:
        protected = self._protected_by_group() if self._quantizes_activations(case) else ()
        subject = self._subject(case, PAPER_METRICS, protected)
        ratio = self._ratio(case, subject)
        made, _ = allocate(subject, self._budgets(case, subject, ratio))
        how = "a programme a group, content by SSIM and quality by SQNR"
        if case.weight_bits < _MOST_BITS:
            how += f", content {ratio:.3g} times the bits of quality"
        return RowPlan(made.plan(bos_aware=True, split_shortcuts=True), how + _in_words(protected))

    def _by_noise(self, case: Case) -> RowPlan:
        protected = self._protected_by_group() if self._quantizes_activations(case) else ()
        subject = self._subject(case, PAPER_METRICS, protected, Objective.NOISE)
        ratio = 1.0 if self.ratio is None else self.ratio
        made, _ = allocate(subject, self._budgets(case, subject, ratio))
        how = f"a programme a group, by lost noise, content {ratio:.3g} times the bits of quality"
        return RowPlan(made.plan(bos_aware=True, split_shortcuts=True), how + _in_words(protected))

    def _subject(
        self,
        case: Case,
        metrics: Mapping[Group, Metric],
        protected: tuple[LayerName, ...],
        objective: Objective = Objective.SCORES,
    ) -> Subject:
        return Subject(
            self.table,
            self.sensitivity,
            metrics,
            _widths(case),
            self.resolution,
            frozenset(protected),
            objective=objective,
        )

    def _budgets(self, case: Case, subject: Subject, ratio: float) -> Mapping[Part, float]:
        budgets = dict(split_budgets(subject, Operand.WEIGHT, Split(case.weight_bits, ratio)))
        if self._quantizes_activations(case):
            parts = parts_of(Operand.ACTIVATION)
            budgets |= {part: case.activation_bits for part in parts if subject.layers(part)}
        return budgets

    def _ratio(self, case: Case, subject: Subject) -> float:
        if case.weight_bits >= _MOST_BITS:
            return 1.0
        if self.ratio is not None:
            return self.ratio
        points = ratio_sweep(subject, Operand.WEIGHT, case.weight_bits, _RATIOS, lambda done, total: None)
        feasible = [point for point in points if point.feasible]
        if not feasible:
            raise PlanError(
                f"no split of {case.weight_bits:g} mean bits between {_RATIOS[0]:g} and {_RATIOS[-1]:g} can "
                f"be kept by both groups; leave {case.name} out"
            )
        return max(feasible, key=lambda point: (point.objective, -abs(point.ratio - 1))).ratio

    def _protected_by_group(self) -> tuple[LayerName, ...]:
        return protected_layers(self.table, self.sensitivity, PAPER_SHARE, PAPER_METRICS)

    def _protected_by_sqnr(self) -> tuple[LayerName, ...]:
        """As many as of both groups together, so that the steps differ in which layers alone."""
        scores = {
            layer.name: self.sensitivity.score(Operand.ACTIVATION, Metric.SQNR, layer.name, _MOST_BITS)
            for layer in self.table
        }
        return tuple(sorted(scores, key=scores.__getitem__)[: len(self._protected_by_group())])

    @staticmethod
    def _quantizes_activations(case: Case) -> bool:
        return case.activation_bits < FLOAT_BITS


def read_given(texts: list[str], table: LayerTable) -> Mapping[str, RowPlan]:
    """`w5a8-mixdq=plan.yaml`: searched plans, by the row whose place they take.

    A plan does not say what its search went by, so it is for who gives it to name the row: `mixdq` by the
    paper's scores, `noise` by lost noise. A budget that has one of them names it: `w8a8=plan.yaml`.

    Raises:
        PlanError: another form, a row that is no such row or has two plans, a budget with two such rows; a
            plan that is malformed.
        DigestError: a plan of another model.
    """
    rows = [case for case in CASES if case.step in (Step.MIXDQ, Step.NOISE)]
    given: dict[str, RowPlan] = {}
    for text in texts:
        row, equals, path = text.partition("=")
        named = [case.name for case in rows if row.strip().lower() in (case.name, case.budget)]
        if not equals or not named:
            names = ", ".join(case.name for case in rows)
            raise PlanError(f"--plan {text!r} names no row; write ROW=FILE, with {names}")
        if len(named) > 1:
            raise PlanError(
                f"--plan {text!r} may be of {' or '.join(named)}; name the row: the first if the plan was "
                "searched by the paper's scores, the second if by lost noise"
            )
        (name,) = named
        if name in given:
            raise PlanError(f"{name} has two plans; give one")
        plan = PrecisionPlan.read(Path(path))
        plan.check(table)
        given[name] = RowPlan(plan, f"searched: {Path(path).name}")
    return given


def _widths(case: Case) -> Widths:
    """The paper's weights, but where the budget is all that there is; activations have the row's own."""
    widths = dict(ALL_WIDTHS if case.step is Step.NOISE else PAPER_WIDTHS)
    for part in Part:
        if part.operand is Operand.ACTIVATION or case.weight_bits >= _MOST_BITS:
            widths[part] = (_MOST_BITS,)
    return widths


def _in_words(protected: tuple[LayerName, ...]) -> str:
    return f"; activations of {', '.join(sorted(protected))} protected" if protected else ""
