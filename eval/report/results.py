"""What every section of the report is made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from mixdq.eval.report.found import Found
from mixdq.eval.report.naming import Colours
from mixdq.eval.report.origins import Origins


@dataclass(frozen=True)
class Results:
    """The documents, and how the page calls machines and colours plans."""

    found: Found

    @cached_property
    def origins(self) -> Origins:
        """Machines by letter."""
        return Origins(self.found)

    @cached_property
    def colours(self) -> Colours:
        """Plans by colour."""
        return Colours(self.found)
