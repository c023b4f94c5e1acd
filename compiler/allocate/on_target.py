"""A search among what one target runs: the menu that it chooses from, and the plan that it ends in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from mixdq.compiler.allocate.programme import InfeasibleError
from mixdq.compiler.allocate.request import Answer, Request
from mixdq.compiler.allocate.subject import Subject
from mixdq.compiler.legal.choices import Rules
from mixdq.compiler.legal.menu import Menu
from mixdq.compiler.legal.totals import real_totals
from mixdq.configs.plan import PrecisionPlan

_GIB = 2**30


def with_menu(subject: Subject, rules: Rules, *, split_shortcuts: bool) -> Subject:
    """The same subject, to be allocated among what a target runs."""
    return replace(subject, menu=Menu.of(subject.table, rules, split_shortcuts=split_shortcuts))


def solve(request: Request, subject: Subject, rules: Rules) -> Answer:
    """The optimum among what the target runs.

    Raises:
        PlanError: as `Request.solve`.
        InfeasibleError: likewise; says whether forms that can't be written yet might help.
    """
    try:
        return request.solve(subject)
    except InfeasibleError as error:
        kinds = {layer.kind for layer in subject.table}
        capability = rules.capability
        if rules.unwritten or not any(
            set(capability.forms(kind, unwritten=True)) - set(capability.forms(kind, unwritten=False))
            for kind in kinds
        ):
            raise
        raise InfeasibleError(
            f"{error}; {capability} takes forms that mixdq can't write yet, which --unwritten adds (such a "
            "plan is not to be compiled)"
        ) from error


def realized(plan: PrecisionPlan, subject: Subject) -> PrecisionPlan:
    """The plan with the forms that its precisions were chosen for."""
    assert subject.menu is not None
    return replace(plan, realization=subject.menu.realized(plan))


def totals_in_words(plan: PrecisionPlan, subject: Subject, rules: Rules) -> Iterator[str]:
    """The forms, and what they come to: real bits, bytes and operations."""
    assert plan.realization is not None
    counts = Counter(map(str, plan.realization.forms.values()))
    forms = ", ".join(f"{form} {count}" for form, count in counts.most_common())
    yield f"layers by form on {rules.capability}: {forms}"
    found = real_totals(plan, subject.table, subject.resolution, rules.capability.table.float_bytes)
    yield (
        f"runs with {found.weight_bits:.4f} weight bits, {found.activation_bits:.4f} activation bits, "
        f"{found.bytes:,} bytes of weights and scales ({found.bytes / _GIB:.4f} GiB), {found.bops:.4g} BOPs"
    )
