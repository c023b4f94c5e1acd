"""The last look at a quantized graph: does it hold exactly what the plan says?"""

from __future__ import annotations

import onnx_ir as ir

from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.target import Dialect
from mixdq.passes.deviations import deviations
from mixdq.passes.errors import GraphFormError


class CheckFormPass(ir.passes.InPlacePass):
    """Refuses a graph that deviates from its plan (`mixdq.passes.deviations`); changes nothing."""

    def __init__(self, plan: PrecisionPlan, table: LayerTable, dialect: Dialect) -> None:
        self.plan = plan
        self.table = table
        self.dialect = dialect

    def __str__(self) -> str:
        return f"CheckFormPass({self.dialect})"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Raises if the graph deviates from the plan.

        Raises:
            GraphFormError: the first three deviations, and how many there are.
        """
        faults = [found.what for found in deviations(model.graph, self.plan, self.table, self.dialect)]
        if faults:
            more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
            raise GraphFormError(f"the quantized graph is not as planned: {'; '.join(faults[:3])}{more}")
        return ir.passes.PassResult(model, modified=False)
