"""All rules, in the order in which their findings are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mixdq.compiler.lint.activation_fusion import pair_between_layer_and_activation
from mixdq.compiler.lint.concat_scales import scales_change_across_concat
from mixdq.compiler.lint.duplicates import quantized_twice
from mixdq.compiler.lint.finding import Finding
from mixdq.compiler.lint.float_islands import float_between_halves
from mixdq.compiler.lint.matrix_vector import quantized_matrix_vector_layer
from mixdq.compiler.lint.not_planned import quantized_but_not_planned
from mixdq.compiler.lint.not_quantized import planned_but_not_quantized
from mixdq.compiler.lint.planned_form import other_than_the_planned_form
from mixdq.compiler.lint.subject import Subject
from mixdq.compiler.lint.zero_points import zero_point_off_zero

RULES: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
    planned_but_not_quantized,
    quantized_but_not_planned,
    other_than_the_planned_form,
    zero_point_off_zero,
    float_between_halves,
    quantized_twice,
    scales_change_across_concat,
    pair_between_layer_and_activation,
    quantized_matrix_vector_layer,
)


def findings(subject: Subject) -> tuple[Finding, ...]:
    """What all rules find in a graph."""
    return tuple(found for rule in RULES for found in rule(subject))
