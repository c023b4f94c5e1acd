"""Whether the text encoders give the BOS row that the engines' constants were computed from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.errors import BundleError, DigestError
from mixdq.configs.ranges import RangeTable
from mixdq.runtime.engine import run_padded
from mixdq.runtime.noise import Floats
from mixdq.runtime.pipeline import Pipeline

_RANGES_FILE = "ranges.json"
_MOST_OFF = 0.02
"""Of the typical value. The encoders' engines round otherwise than the calibration did, in FP16 on a GPU."""


def check_bos(pipeline: Pipeline, folder: Path) -> None:
    """Compares row 0 of the text embedding with the calibrated one, if the bundle has one.

    The bundle knows the row by its digest, and rounding differs between back ends: the row itself is read
    from the ranges in the bundle's folder, whose digests must be the bundle's.

    Raises:
        DigestError: the ranges are not those that the bundle was made from.
        BundleError: the ranges are missing, or the row is another one.
    """
    bundle = pipeline.bundle
    if bundle.ranges_digest is None:
        return
    expected, found = _calibrated(bundle, folder / _RANGES_FILE), _computed(pipeline)
    # A few outliers are a hundred times as large as the rest: each is measured by its own size.
    off = np.abs(found - expected) / (np.abs(expected) + float(np.median(np.abs(expected))))
    if (worst := float(off.max())) > _MOST_OFF:
        raise BundleError(
            f"the text encoders of {folder} give another BOS row than the one that its engines' constants "
            f"come from: it differs by {100 * worst:.2g} % at position {int(off.argmax())}, where rounding "
            f"makes at most {100 * _MOST_OFF:g} %; build the bundle again from one model"
        )


def _calibrated(bundle: Bundle, path: Path) -> Floats:
    if not path.is_file():
        raise BundleError(
            f"{path} is missing, without which the text encoders can't be checked against the engines; copy "
            "it with the rest of the bundle's folder"
        )
    ranges = RangeTable.read(path)
    row = np.asarray(ranges.bos, dtype="<f4")
    digest = hashlib.sha256(row.tobytes()).hexdigest()
    if ranges.digest != bundle.ranges_digest or digest != bundle.pipeline.bos_digest:
        raise DigestError(
            f"{path} was changed, or belongs to another bundle; run `mixdq-compile run` again to restore it"
        )
    return row


def _computed(pipeline: Pipeline) -> Floats:
    """Row 0, which depends on no later token; `[h1 + h2]`."""
    bundle = pipeline.bundle
    spec = bundle.pipeline
    encoders = (Component.TEXT_ENCODER, Component.TEXT_ENCODER_2)
    rows = []
    for component, pad in zip(encoders, spec.pad_token_ids, strict=True):
        ids = np.full((1, spec.max_tokens), pad, dtype=np.int64)
        ids[0, :2] = spec.bos_token_id, spec.eos_token_id
        outputs = run_padded(pipeline.engine(component, bundle.resolutions[0]), {"input_ids": ids})
        rows.append(outputs["hidden_states"][0, 0])
    return np.concatenate(rows)
