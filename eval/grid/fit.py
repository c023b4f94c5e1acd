"""The performance model: times and memory by plan and resolution, tried on every cell held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mixdq.configs.grid_table import GridCell, HeldOut, PerformanceModel
from mixdq.eval.grid.forms import FORMS, FORMULA, Coefficients, Form, Sample, predict

QUANTITIES: dict[str, Callable[[GridCell], float]] = {
    # Not the median of all pictures: one process beside another job would move it.
    "p50_ms": lambda cell: cell.calm_p50_ms,
    "p95_ms": lambda cell: cell.p95_ms,
    "peak_mib": lambda cell: cell.peak_mib,
}
"""What is modelled, by its name in the documents."""


def fit_models(cells: Sequence[GridCell]) -> tuple[PerformanceModel, ...]:
    """A model of every quantity on every back end that has cells enough.

    Args:
        cells: measured ones.
    """
    return tuple(model for name in QUANTITIES for model in _models(name, cells))


def fit_model(
    samples: Sequence[Sample], quantity: str, target: str, device: str, batch: int
) -> PerformanceModel | None:
    """The form that predicts held-out samples best, by the largest of its errors.

    Each sample is predicted by the form fitted to all others. Where no form can leave one out, the first that
    can be fitted is taken, untried.

    Args:
        samples: each plan at each resolution once.
        quantity: what they are.
        target: where they were measured, here and below.
        device: see `PerformanceModel`.
        batch: see `PerformanceModel`.

    Returns:
        None if no form can be fitted.
    """
    fitted = [(form, found) for form in FORMS if (found := form.fit(samples)) is not None]
    if not fitted:
        return None

    def model(form: Form, coefficients: Coefficients) -> PerformanceModel:
        return PerformanceModel(
            quantity=quantity,
            target=target,
            device=device,
            batch=batch,
            form=form.name,
            formula=FORMULA,
            coefficients={plan: tuple(values) for plan, values in coefficients.items()},
            held_out=_held_out(form, samples),
        )

    models = [model(form, coefficients) for form, coefficients in fitted]
    tried = [one for one in models if one.held_out]
    return min(tried, key=lambda one: one.worst_error or 0.0) if tried else models[0]


def _models(quantity: str, cells: Sequence[GridCell]) -> Iterator[PerformanceModel]:
    for place in sorted({cell.place[2:] for cell in cells}):
        samples = [
            Sample(cell.plan, cell.resolution, value)
            for cell in cells
            if cell.place[2:] == place and (value := QUANTITIES[quantity](cell)) > 0
        ]
        model = fit_model(samples, quantity, *place)
        if model is not None:
            yield model


def _held_out(form: Form, samples: Sequence[Sample]) -> tuple[HeldOut, ...]:
    """Every sample as the others foretell it; none if one of them can't be left out."""
    found = []
    for place, sample in enumerate(samples):
        coefficients = form.fit([*samples[:place], *samples[place + 1 :]])
        if coefficients is None or sample.plan not in coefficients:
            return ()
        value = predict(coefficients[sample.plan], sample.resolution)
        found.append(HeldOut(sample.plan, sample.resolution, sample.value, round(value, 4)))
    return tuple(found)
