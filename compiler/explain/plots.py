"""All plots of an explanation, as PNG files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mixdq.compiler.explain.case import Case
from mixdq.compiler.explain.explanation import Explanation
from mixdq.compiler.explain.plot_bits import bits_figure
from mixdq.compiler.explain.plot_comparison import comparison_figure
from mixdq.compiler.explain.plot_frontier import frontier_figure
from mixdq.compiler.explain.plot_style import save
from mixdq.compiler.explain.plot_tails import tails_figure
from mixdq.configs.layers import Group


def write_plots(case: Case, explanation: Explanation, folder: Path) -> Iterator[Path]:
    """Writes `bits.png`; with sensitivities also `tails.png`, with a sweep's points `frontier.png`.

    With another table `comparison.png`, of the metric that decides in the content group.

    Raises:
        StorageError: the folder can't be written.
    """
    figures = {"bits.png": bits_figure(case)}
    if explanation.rankings:
        figures["tails.png"] = tails_figure(explanation.rankings, explanation.model)
    if explanation.frontiers:
        figures["frontier.png"] = frontier_figure(explanation.frontiers, explanation.model)
    if explanation.comparison is not None:
        metric = case.metrics[Group.CONTENT]
        compared = comparison_figure(explanation.comparison, metric, explanation.model)
        if compared is not None:
            figures["comparison.png"] = compared
    for name, figure in figures.items():
        save(figure, folder / name)
        yield folder / name
