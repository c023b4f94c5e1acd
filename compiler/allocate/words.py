"""What the command line says of a search, parsed: budgets, widths, memory, ratios."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mixdq.compiler.allocate.subject import PAPER_WIDTHS, Part, Widths
from mixdq.configs.errors import PlanError
from mixdq.configs.layers import LayerTable
from mixdq.configs.mixdq_format.scores import table_of_score_files
from mixdq.configs.sensitivity import SensitivityTable

_MEMORY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(KiB|MiB|GiB|KB|MB|GB)")
_BYTES = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_PARTS = {str(part): part for part in Part}


def parse_part(text: str) -> Part:
    """`content.weight` or another of the four programmes.

    Raises:
        PlanError: there is no such programme.
    """
    if text not in _PARTS:
        raise PlanError(f"{text!r} is no programme; write one of {', '.join(_PARTS)}")
    return _PARTS[text]


def parse_budgets(texts: Sequence[str]) -> Mapping[Part, float]:
    """`content.weight=3.36`, mean bits by programme.

    Raises:
        PlanError: another form, or a programme twice.
    """
    budgets: dict[Part, float] = {}
    for part, value in map(_pair, texts):
        if part in budgets:
            raise PlanError(f"{part} has two budgets; give one")
        budgets[part] = _number(value, f"the budget of {part}")
    return budgets


def parse_widths(texts: Sequence[str]) -> Widths:
    """The paper's bits, but for the programmes named: `content.weight=2,3,4,8`.

    Raises:
        PlanError: another form.
    """
    widths = dict(PAPER_WIDTHS)
    for part, value in map(_pair, texts):
        bits = value.split(",")
        if not all(word.strip().isdigit() for word in bits):
            raise PlanError(f"the widths of {part} are {value!r}; write whole numbers, as in {part}=2,4,8")
        widths[part] = tuple(sorted({int(word) for word in bits}))
    return widths


def parse_memory(text: str) -> float:
    """GiB of `1.6GiB`, `1600 MB`.

    Raises:
        PlanError: no number with a unit.
    """
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        raise PlanError(f"{text!r} is no amount of memory; write a number and a unit, as in 1.6GiB or 900MiB")
    return float(match[1]) * _BYTES[match[2]] / 2**30


def parse_ratios(text: str) -> tuple[float, ...]:
    """Evenly spaced ratios of `0.45:1.36:400`: from, to, how many.

    Raises:
        PlanError: another form.
    """
    words = text.split(":")
    if len(words) != 3 or not words[2].isdigit() or int(words[2]) < 2:
        raise PlanError(f"{text!r} are no ratios; write from:to:count, as in 0.45:1.36:20")
    low, high = (_number(word, "a ratio") for word in words[:2])
    if not 0 < low < high:
        raise PlanError(f"the ratios {text!r} do not ascend from above 0; write them as in 0.45:1.36:20")
    count = int(words[2])
    return tuple(low + (high - low) * step / (count - 1) for step in range(count))


def read_sensitivities(files: Sequence[Path], table: LayerTable) -> SensitivityTable:
    """One table of mixdq's, or MixDQ's four.

    Raises:
        PlanError: nothing, or both forms; a malformed or incomplete table.
        DigestError: a table of another model.
    """
    own = [path for path in files if path.suffix == ".json"]
    if own and len(files) != 1:
        raise PlanError(
            f"{own[0]} holds all sensitivities of a model, and {len(files)} files were given; give it alone, "
            "or MixDQ's YAML files"
        )
    if not own:
        return table_of_score_files(files, table)
    made = SensitivityTable.read(own[0])
    made.check(table)
    return made


def _pair(text: str) -> tuple[Part, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise PlanError(f"{text!r} names no value; write PROGRAMME=VALUE, as in content.weight=4")
    return parse_part(name.strip()), value


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise PlanError(f"{what} is {text!r}; expected a number") from error
    if not 0 < value < float("inf"):
        raise PlanError(f"{what} is {text!r}; expected a positive, finite number")
    return value
