"""What each type of layer does to the pictures: the figures, without what measures them."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT
from mixdq.configs.layers import Role


@dataclass(frozen=True, slots=True, config=STRICT)
class TextLayerRow:
    """One projection of the text embedding, alone at 8 bits: SQNR in dB of the UNet's output.

    Attributes:
        layer: its name.
        weight_db: its weight quantized.
        activation_db: its activation quantized, token 0 with the others.
        weight_bos_db: its weight quantized, token 0 through the original one.
        activation_bos_db: its activation quantized, token 0 left out.
    """

    layer: str
    weight_db: float
    activation_db: float
    weight_bos_db: float
    activation_bos_db: float


@dataclass(frozen=True, slots=True, config=STRICT)
class RoleRow:
    """The layers of one role at W8A8, all others in floating point.

    Attributes:
        role: which.
        bos_aware: whether token 0 was left out of cross-attention's K and V.
        layers: how many were quantized.
        sqnr_db: of the UNet's output, mean over the prompts.
        ssim: of the decoded pictures, one window over each, mean.
        psnr_db: of the decoded pictures, mean.
    """

    role: Role
    bos_aware: bool
    layers: int
    sqnr_db: float
    ssim: float
    psnr_db: float


@dataclass(frozen=True, slots=True, config=STRICT)
class ByRole:
    """What simulation in torch gives, layer type by layer type (paper, figure 14 and section 5.4).

    Attributes:
        header_digest: of the ablation that it belongs to.
        ranges_digest: of the calibrated ranges.
        prompts: how many the roles were judged on; the text's layers on the first eight of them.
        rows: two a role, without and with BOS-awareness, in the order of the roles.
        text_layers: cross-attention's K and V projections.
    """

    header_digest: str
    ranges_digest: str
    prompts: int
    rows: tuple[RoleRow, ...]
    text_layers: tuple[TextLayerRow, ...]
    version: int = 1
