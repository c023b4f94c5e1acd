"""Polygraphy's own files of a comparison, to be looked at with its tools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from polygraphy.comparator import Comparator, IterationResult, RunResults, SnrCompareFunc
from polygraphy.comparator.struct import AccuracyResults
from polygraphy.json import save_json

from mixdq.configs.files import writing
from mixdq.eval.compare.planned import Array
from mixdq.eval.compare.runs import silence
from mixdq.passes.name_blocks import BLOCK_PREFIX

OUTPUT = "noise_prediction"
"""The graph's name of the UNet's own output."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs that are compared.

    Attributes:
        expected: name of the run that the other is compared with.
        found: name of the other.
        least_db: the least SNR by output, each by its name here.
    """

    expected: str
    found: str
    least_db: Mapping[str, float]


def write_inputs(path: Path, inputs: Mapping[str, Array]) -> None:
    """Writes what `polygraphy run --load-inputs` reads."""
    with writing(path) as temporary:
        save_json([dict(inputs)], str(temporary))


def write_outputs(path: Path, runner: str, outputs: Mapping[str, Array], seconds: float | None) -> None:
    """Writes what `polygraphy run --load-outputs` reads: a `RunResults` with one runner.

    Args:
        path: the file.
        runner: its name.
        outputs: by the graph's own names.
        seconds: of the inference; None where it was not measured.
    """
    with writing(path) as temporary, silence():
        _results({runner: outputs}, {runner: seconds}).save(str(temporary))


def write_pairs(path: Path, runs: Mapping[str, Mapping[str, Array]], pairs: Iterable[Pair]) -> None:
    """Writes Polygraphy's `AccuracyResults`: the SNR of every output of each pair, and whether it is enough.

    Args:
        path: the file.
        runs: outputs by run, by name here.
        pairs: what to compare; an output that one of both lacks is left out.
    """
    found = AccuracyResults([])
    with silence():
        for pair in pairs:
            common = [name for name in runs[pair.expected] if name in runs[pair.found]]
            two = {
                run: {tensor_name(name): runs[run][name] for name in common}
                for run in (pair.expected, pair.found)
            }
            least = {tensor_name(name): pair.least_db[name] for name in common}
            found.extend(
                Comparator.compare_accuracy(
                    _results(two, {}), compare_func=SnrCompareFunc(snr_threshold=least)
                )
            )
        with writing(path) as temporary:
            found.save(str(temporary))


def tensor_name(block: str) -> str:
    """The graph's name of a block's output."""
    return f"{BLOCK_PREFIX}{block}" if block else OUTPUT


def _results(runs: Mapping[str, Mapping[str, Array]], seconds: Mapping[str, float | None]) -> RunResults:
    results = RunResults()
    for runner, outputs in runs.items():
        results.append((runner, [IterationResult(dict(outputs), seconds.get(runner), runner)]))
    return results
