"""Counts layers, solves programmes, checks the released files: what needs no weights and no pictures."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import process_time

from mixdq.compiler.allocate.baselines import Baseline, baseline
from mixdq.compiler.allocate.budgets import Split, split_budgets
from mixdq.compiler.allocate.programme import Budget, Choice, Item, Programme
from mixdq.compiler.allocate.solver import solve
from mixdq.compiler.allocate.subject import PAPER_WIDTHS, Subject
from mixdq.compiler.allocate.sweep import grid
from mixdq.compiler.layers_of import layers_of, smallest_resolution
from mixdq.configs.files import sha256_of_file
from mixdq.configs.layers import Group, LayerName, LayerTable
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.configs.sensitivity import PAPER_METRICS, Metric, Operand, SensitivityTable
from mixdq.configs.shipped_search import shipped_layers, shipped_sensitivity
from mixdq.eval.report.claims_released import released_figures, released_files
from mixdq.eval.report.claims_structure import StructureFigure, StructureTable

Watch = Callable[[str], None]
"""Told what is measured next."""

SDXL = "sdxl-turbo"
EMOJI = "emoji-turbo"

_GRID = 20
_BUDGETS = tuple(4.25 + step * 0.375 for step in range(10))
_RIVALS = (Baseline.RANDOM, Baseline.PERTURBED, Baseline.SORTED, Baseline.UNIFORM)
_LARGE = 5_000


def measure_structure(released: Path | None, command: str, watch: Watch) -> StructureTable:
    """All figures.

    Args:
        released: a folder of MixDQ's released files, or None for none of their figures.
        command: as it was given.
        watch: told of each part.

    Raises:
        MixdqError: the folder lacks files, or holds others.
    """
    sources: dict[str, str] = {}
    watch("layers of SDXL-Turbo")
    sdxl = layers_of(SDXL)
    figures = [*_of_layers(sdxl)]
    watch("emoji-turbo's sensitivities")
    layers, sensitivity = shipped_layers(EMOJI), shipped_sensitivity(EMOJI)
    assert layers is not None
    assert sensitivity is not None
    sources |= {f"{EMOJI}/{path.name}": sha256_of_file(path) for path in (layers, sensitivity)}
    emoji, scores = LayerTable.read(layers), SensitivityTable.read(sensitivity)
    figures += ranks(emoji, scores, EMOJI)
    watch("programmes")
    figures += _of_rivals(_subject(emoji, scores), EMOJI)
    figures += _of_time(_subject(emoji, scores), EMOJI)
    figures.append(_of_large())
    if released is not None:
        watch("the released files")
        files = released_files(released)
        sources |= {f"released/{path.relative_to(released)}": sha256_of_file(path) for path in files.all}
        subject = _subject(sdxl, files.sensitivity(sdxl), files.protected)
        figures += released_figures(files, subject)
        figures += ranks(sdxl, subject.sensitivity, SDXL)
        figures += _of_rivals(subject, SDXL)
        figures += _of_time(subject, SDXL)
    return StructureTable(
        tuple(figures), sources, command, describe_machine(), installed_versions("ortools", "numpy")
    )


def ranks(table: LayerTable, scores: SensitivityTable, of: str) -> Iterator[StructureFigure]:
    """The layers that the paper names, among all by SQNR; 1 is the most sensitive."""
    for name, operand, bits in (("conv_in", Operand.ACTIVATION, 8), ("conv_out", Operand.WEIGHT, 4)):
        all_of_them = {
            layer.name: scores.score(operand, Metric.SQNR, layer.name, bits)
            for layer in table
            if layer.name in scores.scores[operand][Metric.SQNR]
        }
        own = all_of_them[LayerName(name)]
        rank = 1 + sum(score < own for score in all_of_them.values())
        yield StructureFigure(f"{name}'s {operand} at {bits} bits, rank", of, rank)
        yield StructureFigure(f"{name}'s {operand} at {bits} bits", of, own, "dB")
    at_eight = {
        layer.name: scores.score(Operand.ACTIVATION, Metric.SQNR, layer.name, 8)
        for layer in table
        if layer.name in scores.scores[Operand.ACTIVATION][Metric.SQNR]
    }
    middle = median(at_eight.values())
    for what, mark in (
        ("time_embedding", "time_embedding."),
        ("the resnets' time_emb_proj", "time_emb_proj"),
    ):
        lead = median(score for name, score in at_eight.items() if mark in f"{name}.") - middle
        name = f"{what}: activations at 8 bits above the median of all layers"
        yield StructureFigure(name, of, lead, "dB")
    both = [score for name, score in at_eight.items() if "time_emb" in name]
    name = "time embeddings: activations at 8 bits above the median of all layers"
    yield StructureFigure(name, of, median(both) - middle, "dB")


def _of_layers(table: LayerTable) -> Iterator[StructureFigure]:
    def figure(name: str, value: float, unit: str = "") -> StructureFigure:
        return StructureFigure(name, SDXL, value, unit)

    groups = Counter(layer.group for layer in table)
    total = sum(layer.weights for layer in table)
    content = sum(layer.weights for layer in table if layer.group is Group.CONTENT)
    yield figure("quantizable layers", len(table))
    yield figure("content layers", groups[Group.CONTENT])
    yield figure("quality layers", groups[Group.QUALITY])
    yield figure("content's share of the weights", 100 * content / total, "%")
    widths = Counter(layer.weight_shape[0] for layer in table if layer.reads_text)
    values = sum(width * count for width, count in widths.items())
    yield figure("BOS constants", sum(widths.values()))
    for width, count in sorted(widths.items()):
        yield figure(f"BOS constants of {width} values", count)
    yield figure("values of all BOS constants", values)
    yield figure("BOS constants in FP16", 2 * values / 1024, "KiB")
    splits = Counter(layer.split for layer in table if layer.split is not None)
    for place, count in sorted(splits.items()):
        yield figure(f"shortcuts split at {place}", count)


def _subject(
    table: LayerTable, scores: SensitivityTable, protected: frozenset[LayerName] = frozenset()
) -> Subject:
    return Subject(table, scores, PAPER_METRICS, PAPER_WIDTHS, smallest_resolution(table), protected)


def _of_rivals(subject: Subject, of: str) -> Iterator[StructureFigure]:
    """How often another choice within the same budget has more objective than the optimum."""
    beaten = compared = 0
    for mean in _BUDGETS:
        budgets = split_budgets(subject, Operand.WEIGHT, Split(mean, 1.0))
        best = {part: solve(subject.programme(part, limit)) for part, limit in budgets.items()}
        for rival in _RIVALS:
            other = baseline(subject, budgets, rival, seed=0)
            for part, solution in best.items():
                compared += 1
                score = solution.programme.score(solution.chosen)
                beaten += other.score(part) > score * (1 + 1e-9)
    yield StructureFigure("budgets at which programmes were compared with rivals", of, len(_BUDGETS))
    yield StructureFigure("programmes compared with rivals", of, compared)
    yield StructureFigure("rivals with more objective than the optimum", of, beaten)


def _of_time(subject: Subject, of: str) -> Iterator[StructureFigure]:
    """The paper's 20 by 20 budgets of both operands: pairs of two programmes each."""
    infeasible = dominated = 0
    started = process_time()
    for operand in Operand:
        points = grid(subject, operand, _GRID, lambda done, total: None)
        infeasible += sum(not point.feasible for point in points)
        kept = [point for point in points if point.on_frontier]
        dominated += sum(
            other.feasible and other.mean_bits < point.mean_bits and other.objective > point.objective
            for point in kept
            for other in points
        )
    spent = process_time() - started
    yield StructureFigure("budgets of a 20 by 20 grid, both operands", of, 2 * _GRID**2)
    yield StructureFigure("of them infeasible", of, infeasible)
    yield StructureFigure("dominated points on the frontier", of, dominated)
    yield StructureFigure("CPU time of the 20 by 20 grid, both operands", of, spent, "s")


def _of_large() -> StructureFigure:
    """5,000 layers whose scores and sizes were drawn with a fixed seed."""
    draw = random.Random(0)
    items = []
    for place in range(_LARGE):
        size, loss = draw.randint(1, 5_000) * 256, draw.expovariate(1.0)
        choices = tuple(
            Choice(bits, -loss * draw.uniform(0.5, 2) * 4.0**-bits, (bits * size,)) for bits in (2, 4, 8)
        )
        items.append(Item(LayerName(f"layer{place}"), choices))
    total = sum(item.choices[0].costs[0] // 2 for item in items)
    started = process_time()
    found = solve(Programme(tuple(items), (Budget("mean bits", 4.0, total),)))
    spent = process_time() - started
    assert found.proven
    return StructureFigure("CPU time of a programme of 5,000 layers", "made-up layers", spent, "s")
