"""Names the outputs of a UNet's blocks after their modules: two graphs can then be compared by block."""

from __future__ import annotations

import ast
import re

import onnx_ir as ir

BLOCK_PREFIX = "block."
"""What the name of a block's output begins with; the module's path follows."""

_SCOPES = "pkg.torch.onnx.name_scopes"
_BLOCK = re.compile(
    r"(?:.*\.)?((?:(?:down|up)_blocks\.\d+|mid_block)\.(?:resnets|attentions|downsamplers|upsamplers)\.\d+)"
)


class NameBlocksPass(ir.passes.InPlacePass):
    """Renames what each residual, attention and sampling block gives: `block.mid_block.attentions.0`.

    A block's output is that of its last node, by the module paths that the exporter recorded.
    """

    def __str__(self) -> str:
        return "NameBlocksPass()"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Renames values; nothing else changes."""
        last: dict[str, ir.Node] = {}
        for node in model.graph:
            for block in _blocks_around(node):
                last[block] = node
        modified = False
        for block, node in last.items():
            value, name = node.outputs[0], f"{BLOCK_PREFIX}{block}"
            if value.name != name and not value.is_graph_output():
                value.name = name
                modified = True
        return ir.passes.PassResult(model, modified)


def _blocks_around(node: ir.Node) -> list[str]:
    scopes = node.metadata_props.get(_SCOPES)
    if scopes is None:
        return []
    matches = [_BLOCK.fullmatch(path) for path in ast.literal_eval(scopes)]
    return [match[1] for match in matches if match is not None]
