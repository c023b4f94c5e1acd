"""Refuses documents that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator

from mixdq.configs.errors import DigestError, EvaluationError
from mixdq.eval.report.found import Found


def check_consistency(found: Found) -> None:
    """Refuses results of which not all can be true; what is of different subjects is no contradiction.

    A bundle's own plan is the one it names, and one set of pictures has one score by a metric against one
    reference. Times and memory that were measured twice may differ: their sections show them one after the
    other.

    Raises:
        DigestError: a bundle's plan.yaml is another plan.
        EvaluationError: two documents give different figures of one thing; names both.
    """
    for fault in _foreign_plans(found):
        raise DigestError(fault)
    for fault in _scores_apart(found):
        raise EvaluationError(fault)


def _foreign_plans(found: Found) -> Iterator[str]:
    plans = {document.path.parent: document for document in found.plans if document.path.name == "plan.yaml"}
    for bundle in found.bundles:
        plan = plans.get(bundle.path.parent)
        if plan is not None and plan.content.digest != bundle.content.plan_digest:
            yield (
                f"{plan.path} (plan {plan.content.digest[:12]}) is not the plan that {bundle.path} was built "
                f"from ({bundle.content.plan_digest[:12]}); one was changed: run `mixdq-compile run` again"
            )


def _scores_apart(found: Found) -> Iterator[str]:
    seen: dict[tuple[object, ...], tuple[float, str]] = {}
    for document in found.qualities:
        table = document.content
        settings = tuple(sorted(table.settings.items()))
        for row in table.rows:
            for score in row.scores:
                key = (
                    row.manifest_sha256,
                    table.reference_sha256,
                    score.metric,
                    score.weights_sha256,
                    settings,
                )
                value, name = seen.setdefault(key, (score.value, document.name))
                if abs(value - score.value) > 1e-6 * max(1.0, abs(value)):
                    yield (
                        f"{name} and {document.name} contradict each other: {score.metric} of the same "
                        f"pictures ({row.pictures}) is {value:g} in one and {score.value:g} in the other; "
                        "leave one of them out, or measure again"
                    )
