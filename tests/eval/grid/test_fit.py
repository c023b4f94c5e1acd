from __future__ import annotations

from collections.abc import Mapping
from statistics import median

import pytest

from mixdq.configs.grid_table import GridCell, PerformanceModel
from mixdq.eval.grid.fit import fit_model, fit_models
from mixdq.eval.grid.forms import ATTENTION_SHARE, FORMS, Sample, attention, line, millions, predict

from .measured import measured_cell

EARLIER_MS = {512: 113.5, 768: 201.3, 1024: 349.2}
"""The earlier experiment's FP16 medians on its GPU."""

EARLIER_GB = {512: 12.54, 768: 13.99, 1024: 15.63}


def _samples(plan: str, values: Mapping[int, float]) -> list[Sample]:
    return [Sample(plan, resolution, value) for resolution, value in values.items()]


def _fit(samples: list[Sample]) -> PerformanceModel:
    model = fit_model(samples, "p50_ms", "cpu", "cpu", 1)
    assert model is not None
    return model


def _curve(factor: float, constant: float) -> dict[int, float]:
    sizes = (128, 192, 256)
    return {size: constant + factor * (millions(size) + 3 * millions(size) ** 2) for size in sizes}


def test_each_of_the_earlier_times_is_foretold_within_a_tenth_by_the_two_others() -> None:
    model = _fit(_samples("FP16", EARLIER_MS))
    assert len(model.held_out) == 3
    assert model.form == "attention"
    assert model.worst_error is not None
    assert model.worst_error < 0.1


def test_a_line_alone_would_not_foretell_the_earlier_times() -> None:
    rest = _samples("FP16", {768: 201.3, 1024: 349.2})
    found = line(rest)
    assert found is not None
    # By hand: 201.3 - (349.2 - 201.3) * (768^2 - 512^2) / (1024^2 - 768^2) = 95.65.
    assert predict(found["FP16"], 512) == pytest.approx(95.65, abs=0.01)


def test_each_of_the_earlier_peaks_is_foretold_within_a_tenth() -> None:
    worst = _fit(_samples("FP16", EARLIER_GB)).worst_error
    assert worst is not None
    assert worst < 0.05


def test_attention_takes_the_share_of_the_square_that_it_has_in_sdxl() -> None:
    found = attention(_samples("FP16", EARLIER_MS))
    assert found is not None
    _, b, c = found["FP16"]
    assert c == pytest.approx(ATTENTION_SHARE * b)


def test_plans_that_share_a_curve_are_foretold_exactly() -> None:
    samples = (
        _samples("full", _curve(1000, 10)) + _samples("w8", _curve(700, 20)) + _samples("w4", _curve(900, 5))
    )
    worst = _fit(samples).worst_error
    assert worst is not None
    assert worst < 0.02  # the curve is one of a grid of them


def test_plans_that_differ_by_a_factor_are_foretold_exactly() -> None:
    shape = {128: 1.0, 192: 5.0, 256: 7.0}  # far from any common curve of attention
    samples = [
        sample
        for plan, factor in (("full", 10.0), ("w8", 8.0), ("w5", 7.0), ("w4", 9.0))
        for sample in _samples(plan, {size: factor * value for size, value in shape.items()})
    ]
    model = _fit(samples)
    assert model.form == "common shape"
    assert model.worst_error == pytest.approx(0, abs=1e-6)


def test_too_few_cells_give_an_untried_model_or_none() -> None:
    model = _fit(_samples("full", {128: 10.0, 256: 20.0}))
    assert model.held_out == ()
    assert model.worst_error is None
    assert predict(model.coefficients["full"], 256) == pytest.approx(20)
    assert fit_model(_samples("full", {128: 10.0}), "p50_ms", "cpu", "cpu", 1) is None
    assert fit_model([], "p50_ms", "cpu", "cpu", 1) is None


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_forms_need_cells(form: object) -> None:
    one = next(known for known in FORMS if known is form)
    assert one.fit([]) is None
    assert one.fit(_samples("full", {128: 10.0})) is None


def _cells_beside_another_job(noisy: int) -> list[GridCell]:
    """Plans that differ by a factor; of each cell's three processes some were up to 2.6 times as slow."""
    cells = []
    for place, (plan, factor) in enumerate((("full", 100.0), ("w8", 80.0), ("w5", 85.0), ("w4", 90.0))):
        for size in (128, 192, 256):
            calm = factor * (1 + 30 * millions(size))
            slow = calm * (1.4 + 0.3 * ((place + size // 64) % 5))
            medians = [calm] * (3 - noisy) + [slow] * noisy
            cells.append(measured_cell(plan, slow, 100, (calm, slow), size, median_ms=median(medians)))
    return cells


@pytest.mark.parametrize("noisy", [1, 2])
def test_noisy_processes_of_each_cell_do_not_move_the_model(noisy: int) -> None:
    (model,) = [one for one in fit_models(_cells_beside_another_job(noisy)) if one.quantity == "p50_ms"]
    assert model.worst_error is not None
    assert model.worst_error < 0.02


def test_the_median_of_all_pictures_would_be_moved_by_noisy_processes() -> None:
    cells = _cells_beside_another_job(2)
    worst = _fit([Sample(cell.plan, cell.resolution, cell.p50_ms) for cell in cells]).worst_error
    assert worst is not None
    assert worst > 0.1
