"""The folder of a comparison: `compare.json`, and Polygraphy's files in `polygraphy/`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mixdq.compiler.worker import Report
from mixdq.eval.compare.comparison import FULL, Comparison
from mixdq.eval.compare.polygraphy_files import Pair, tensor_name, write_inputs, write_outputs, write_pairs
from mixdq.eval.compare.report import CompareReport

FOLDER = "polygraphy"


def write_files(found: Comparison, out: Path, *, save_blocks: bool, report: Report) -> CompareReport:
    """Writes a comparison, `compare.json` last of all; the report with the files' sizes.

    Polygraphy's files are `inputs.json`, `comparison.json` and one of outputs a run. An array takes four
    thirds of its bytes in them; so only those blocks are saved that are outside their bounds in any run.

    Args:
        found: what was compared.
        out: the folder to write.
        save_blocks: whether to save every block's output.
        report: told what is done.

    Raises:
        StorageError: the disk is full or the folder can't be written.
    """
    folder = out / FOLDER
    paths = [folder / "inputs.json", folder / "comparison.json"]
    report("writing", 0, None)
    write_inputs(paths[0], found.inputs)
    write_pairs(paths[1], found.outputs, _pairs(found.report))
    runs = [run for run in found.report.runs if run.outputs]
    kept = {"", *(name for run in runs for name in run.outside)}
    seconds = {run.name: run.seconds for run in runs}
    for name, outputs in found.outputs.items():
        paths.append(folder / f"{name.replace(' ', '-').replace(':', '-')}.json")
        chosen = {
            tensor_name(block): array for block, array in outputs.items() if save_blocks or block in kept
        }
        write_outputs(paths[-1], name, chosen, seconds.get(name))
    sizes = {path.relative_to(out).as_posix(): path.stat().st_size for path in paths}
    complete = replace(found.report, files=sizes)
    complete.write(out)
    return complete


def _pairs(report: CompareReport) -> Iterator[Pair]:
    for run in report.runs:
        if not run.outputs:
            continue
        least = {name: found.bounds.least_db for name, found in run.outputs.items()}
        yield Pair(run.simulation, run.name, least)
        if run.name != FULL:
            least = {name: found.bounds.least_full_db for name, found in run.outputs.items()}
            yield Pair(FULL, run.name, least)
