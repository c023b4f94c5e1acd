"""The error of the passes."""

from __future__ import annotations

import onnx_ir as ir

from mixdq.configs.errors import GraphError


class GraphFormError(GraphError, ir.passes.PreconditionError):
    """A graph without the form that a pass needs; also onnx_ir's own kind, so that it isn't wrapped."""
