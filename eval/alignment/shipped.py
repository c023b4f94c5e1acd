"""The trained dual encoder's files: `config.json`, which names the digest, and `model.safetensors`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import torch
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_file, writing
from mixdq.eval.alignment.network import DualEncoder, Shape

FOLDER = Path(str(files("mixdq.configs"))) / "models" / "emoji-alignment"
"""The model that ships with the package."""

_WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True, config=STRICT)
class AlignmentConfig:
    """The model's `config.json`.

    Attributes:
        shape: sizes of the networks.
        weights_sha256: of `model.safetensors`.
    """

    shape: Shape
    weights_sha256: str


def read_model(folder: Path = FOLDER) -> tuple[DualEncoder, AlignmentConfig]:
    """The trained model in FP32, for inference.

    Raises:
        EvaluationError: the weights are missing, damaged, or not those of the configuration.
    """
    weights = folder / _WEIGHTS
    if not weights.is_file():
        raise EvaluationError(
            f"expected the dual encoder's weights in {weights}, found none; install mixdq again, or train "
            "them with `python -m mixdq.eval.alignment`"
        )
    config = read_json(AlignmentConfig, folder / "config.json", EvaluationError)
    found = sha256_of_file(weights)
    if found != config.weights_sha256:
        raise EvaluationError(
            f"expected {weights} with the SHA-256 {config.weights_sha256}, found {found}: the file was "
            "changed or is incomplete; install mixdq again"
        )
    model = DualEncoder(config.shape)
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(weights).items()}
        model.load_state_dict(tensors)
    except (SafetensorError, RuntimeError) as error:
        raise EvaluationError(
            f"{weights} does not hold the weights that its config.json describes ({error}); install mixdq "
            "again"
        ) from error
    return model.requires_grad_(False).eval(), config


def write_model(folder: Path, model: DualEncoder, shape: Shape) -> AlignmentConfig:
    """Writes weights in FP16 and the configuration; the other files of the folder stay.

    Raises:
        StorageError: the folder can't be written.
    """
    tensors = {name: value.detach().cpu().half().contiguous() for name, value in model.state_dict().items()}
    assert all(bool(torch.isfinite(value).all()) for value in tensors.values())
    with writing(folder / _WEIGHTS) as temporary:
        save_file(tensors, temporary)
    config = AlignmentConfig(shape, sha256_of_file(folder / _WEIGHTS))
    with writing(folder / "config.json") as temporary:
        temporary.write_text(to_json(config), encoding="utf-8")
    return config
