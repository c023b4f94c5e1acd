"""MixDQ's sensitivity tables: YAML, `model.<layer>` and its scores at 2, 4 and 8 bits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from mixdq.configs.documents import read_yaml
from mixdq.configs.errors import PlanError
from mixdq.configs.files import write_text
from mixdq.configs.layers import LayerTable
from mixdq.configs.mixdq_format.names import prefixed_name, read_names
from mixdq.configs.sensitivity import Metric, Operand, Scores, SensitivityTable

WIDTHS = (2, 4, 8)
_OPERANDS = {"weight": Operand.WEIGHT, "act": Operand.ACTIVATION}
_METRICS = {"sqnr": Metric.SQNR, "ssim": Metric.SSIM}


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """Scores at 2, 4 and 8 bits by layer, in the file's order.

    Attributes:
        scores: three a layer.
        prefixed: whether the file writes `model.` before the names.
    """

    scores: Scores
    prefixed: bool

    def to_yaml(self) -> str:
        """The file form: of a table that was read, byte for byte what MixDQ wrote."""
        plain = {prefixed_name(name, self.prefixed): list(scores) for name, scores in self.scores.items()}
        return str(yaml.safe_dump(plain, sort_keys=False, width=1000))

    def write(self, path: Path) -> None:
        """Writes the table."""
        write_text(path, self.to_yaml())

    @classmethod
    def read(cls, path: Path) -> ScoreFile:
        """Reads a table.

        Raises:
            PlanError: no such form, a layer twice, another number of scores, or one that is not finite.
            StorageError: the file can't be read.
        """
        names, prefixed = read_names(read_yaml(dict[str, object], path, PlanError), path)
        return cls({name: _three(name, value, path) for name, value in names.items()}, prefixed)


def table_of_score_files(files: Sequence[Path], table: LayerTable) -> SensitivityTable:
    """One table of MixDQ's files, whose names say what they hold: `weight_sqnr.yaml`, `act_ssim.yaml`.

    The files don't say which weights were measured, so neither does the table. It is checked.

    Raises:
        PlanError: a name that says nothing or the same as another's; a malformed or incomplete table.
        StorageError: a file can't be read.
    """
    scores: dict[Operand, dict[Metric, Scores]] = {}
    for path in files:
        operand, metric = _what(path)
        if metric in scores.setdefault(operand, {}):
            raise PlanError(f"{path} is the second table of {operand} {metric}; give one")
        scores[operand][metric] = ScoreFile.read(path).scores
    made = SensitivityTable(
        model=None,
        layers_digest=table.digest,
        measurement=None,
        widths=dict.fromkeys(scores, WIDTHS),
        scores=scores,
    )
    made.check(table)
    return made


def score_files_of_table(table: SensitivityTable, *, prefixed: bool = True) -> Mapping[str, ScoreFile]:
    """The table as MixDQ's files, by file name; of its metrics those that MixDQ has.

    Raises:
        PlanError: the table lacks one of the widths 2, 4 and 8.
    """
    files = {}
    for short, operand in _OPERANDS.items():
        widths = table.widths.get(operand, WIDTHS)
        if missing := [str(bits) for bits in WIDTHS if bits not in widths]:
            raise PlanError(
                f"MixDQ's tables hold 2, 4 and 8 bits, and this one has no {operand} scores at "
                f"{', '.join(missing)} bits; measure them too"
            )
        for word, metric in _METRICS.items():
            if layers := table.scores.get(operand, {}).get(metric):
                files[f"{short}_{word}.yaml"] = ScoreFile(
                    {
                        name: tuple(table.score(operand, metric, name, bits) for bits in WIDTHS)
                        for name in layers
                    },
                    prefixed,
                )
    return files


def _three(name: str, value: object, path: Path) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != len(WIDTHS):
        found = f"{len(value)} scores" if isinstance(value, list) else repr(value)
        raise PlanError(f"{path} gives {name} {found}; expected three, at 2, 4 and 8 bits")
    return tuple(_finite(name, score, path) for score in value)


def _finite(name: str, score: object, path: Path) -> float:
    try:
        # YAML reads 1e-05, which has no point, as text.
        number = math.nan if isinstance(score, bool) else float(score)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise PlanError(
            f"{path} gives {name} the score {score!r}; expected finite numbers, so measure this layer again"
        )
    return number


def _what(path: Path) -> tuple[Operand, Metric]:
    words = path.stem.lower().split("_")
    operands = [operand for word, operand in _OPERANDS.items() if word in words]
    metrics = [metric for word, metric in _METRICS.items() if word in words]
    if len(operands) != 1 or len(metrics) != 1:
        raise PlanError(
            f"the name of {path} does not say what it holds; call MixDQ's tables weight_sqnr.yaml, "
            "weight_ssim.yaml, act_sqnr.yaml and act_ssim.yaml"
        )
    return operands[0], metrics[0]
