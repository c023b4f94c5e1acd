"""Figures of the files that MixDQ released, which are given by folder and ship with nothing here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mixdq.compiler.allocate.protection import PAPER_SHARE, protected_layers
from mixdq.compiler.allocate.solver import solve
from mixdq.compiler.allocate.subject import Subject, parts_of
from mixdq.configs.errors import EvaluationError
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.mixdq_format.bitmap import BitMap
from mixdq.configs.mixdq_format.findings import mean_bits, operand_of
from mixdq.configs.mixdq_format.protected import read_protected, write_protected
from mixdq.configs.mixdq_format.scores import ScoreFile, table_of_score_files
from mixdq.configs.precision import FLOAT_BITS
from mixdq.configs.sensitivity import PAPER_METRICS, SensitivityTable
from mixdq.eval.report.claims_structure import StructureFigure

OF = "released files"


@dataclass(frozen=True, slots=True)
class ReleasedFiles:
    """MixDQ's files, by what they hold.

    Attributes:
        maps: bit maps of weights and activations.
        scores: sensitivities by operand and metric.
        protected_file: the list of layers whose activation stays FP16.
        prompts: lists of prompts, by name.
    """

    maps: tuple[Path, ...]
    scores: tuple[Path, ...]
    protected_file: Path
    prompts: tuple[Path, ...]

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file."""
        return (*self.maps, *self.scores, self.protected_file, *self.prompts)

    @property
    def protected(self) -> frozenset[LayerName]:
        """The layers that MixDQ protects."""
        return frozenset(read_protected(self.protected_file))

    def sensitivity(self, table: LayerTable) -> SensitivityTable:
        """The released scores as one table."""
        return table_of_score_files(self.scores, table)


def released_files(folder: Path) -> ReleasedFiles:
    """Finds them: `weight/`, `act/`, `sensitivity/`, and `prompts*.txt`.

    Raises:
        EvaluationError: some are missing.
    """
    maps = tuple(sorted((*folder.glob("weight/weight_*.yaml"), *folder.glob("act/act_*.yaml"))))
    scores = tuple(sorted(folder.glob("sensitivity/*_s*.yaml")))
    protected = sorted(folder.glob("act/*.pt"))
    if not maps or len(scores) != 4 or len(protected) != 1:
        raise EvaluationError(
            f"{folder} holds {len(maps)} bit maps, {len(scores)} sensitivity tables and {len(protected)} "
            "lists of protected layers; expected MixDQ's folders weight/, act/ (with one .pt) and "
            "sensitivity/ (four tables)"
        )
    return ReleasedFiles(maps, scores, protected[0], tuple(sorted(folder.glob("prompts*.txt"))))


def released_figures(files: ReleasedFiles, subject: Subject) -> Iterator[StructureFigure]:
    """Means, optima, protected layers, bytes and prompts.

    Args:
        files: which.
        subject: SDXL-Turbo's layers with the released scores and protected layers.

    Raises:
        PlanError: a file of another form or model.
    """
    for path in files.maps:
        bitmap, operand = BitMap.read(path), operand_of(path)
        bitmap.check(subject.table, str(path))
        mean = mean_bits(bitmap, operand, subject.table, subject.resolution)
        yield StructureFigure("mean bits", path.name, mean)
        yield StructureFigure("16 bits over the mean", path.name, FLOAT_BITS / mean)
        yield from _apart_from_optimum(path, bitmap, subject)
    chosen = protected_layers(subject.table, subject.sensitivity, PAPER_SHARE, PAPER_METRICS)
    yield StructureFigure("protected layers", OF, len(files.protected))
    yield StructureFigure("protected layers that ours are not", OF, len(set(chosen) ^ files.protected))
    yield StructureFigure("files that change when read and written", OF, _changed(files))
    for path in files.prompts:
        # Imported late: what reads prompts also reads pictures.
        from mixdq.eval.images.prompts import read_prompts

        yield StructureFigure("prompts", path.name, len(read_prompts(path)))


def _apart_from_optimum(path: Path, bitmap: BitMap, subject: Subject) -> Iterator[StructureFigure]:
    """Layers in which a map differs from the optimum at its own groups' means, and in objective."""
    for part in parts_of(operand_of(path)):
        layers = subject.layers(part)
        sizes = {layer.name: subject.size(part.operand, layer) for layer in layers}
        # A width that the paper's programmes of the group don't have can't come out of them.
        mean = sum(size * bitmap.bits[name] for name, size in sizes.items()) / sum(sizes.values())
        solution = solve(subject.programme(part, mean))
        bits = solution.programme.values(solution.chosen)
        differ = sum(bits[name] != bitmap.bits[name] for name in sizes)
        theirs = sum(subject.score(part, layer, bitmap.bits[layer.name]) for layer in layers)
        gain = solution.programme.score(solution.chosen) - theirs
        yield StructureFigure(f"{part.group} layers that differ from the optimum", path.name, differ)
        yield StructureFigure(f"{part.group}: objective that the optimum has more", path.name, gain)


def _changed(files: ReleasedFiles) -> int:
    """How many maps and scores have other bytes, or the list other names, once read and written."""
    changed = [path for path in files.maps if BitMap.read(path).to_yaml().encode() != path.read_bytes()]
    changed += [path for path in files.scores if ScoreFile.read(path).to_yaml().encode() != path.read_bytes()]
    return len(changed) + (_rewritten(files.protected_file) != read_protected(files.protected_file))


def _rewritten(path: Path) -> Sequence[LayerName]:
    with TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        write_protected(copy, read_protected(path))
        return read_protected(copy)
