"""What of several back ends can be asked here is asked, and why the others can't be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from rich.console import Console

from mixdq.compiler.layers_of import layers_of, smallest_resolution
from mixdq.compiler.legal.probe import probeable
from mixdq.compiler.legal.probe_graphs import TINY_LAYERS, ProbeLayer, distinct_layers
from mixdq.compiler.progress import terminal_watch
from mixdq.compiler.worker import Report
from mixdq.configs.capability import BackendTable, Capability
from mixdq.configs.errors import TargetError

T = TypeVar("T")


def ask_builders(
    tables: Sequence[BackendTable],
    sm: int | None,
    ask: Callable[[Sequence[Capability], Report], Iterable[T]],
) -> tuple[list[T], dict[str, str]]:
    """All answers, and by back end why it could not be asked.

    Args:
        tables: the back ends'.
        sm: one compute capability alone; None for all.
        ask: asks one builder about its targets.

    Raises:
        TargetError: there is a single back end, and it can't be asked.
    """
    answers: list[T] = []
    skipped: dict[str, str] = {}
    with terminal_watch(Console(stderr=True)) as watch:
        for table in tables:
            try:
                capabilities = probeable(table, sm)
            except TargetError as error:
                if len(tables) == 1:
                    raise
                skipped[table.backend] = str(error)
            else:
                answers += ask(capabilities, watch.step(f"asking {table.product}"))
    return answers, skipped


def layers_to_try(model: str | None) -> Sequence[ProbeLayer]:
    """One layer of each of a model's shapes at its smallest resolution; without a model three tiny ones.

    Raises:
        ModelError: as `layers_of`.
    """
    if model is None:
        return TINY_LAYERS
    of_model = layers_of(model)
    return distinct_layers(of_model, smallest_resolution(of_model))
