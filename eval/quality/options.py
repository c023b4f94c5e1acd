"""The command line's words for what to measure."""

from __future__ import annotations

from pathlib import Path

from mixdq.configs.errors import EvaluationError, MixdqError
from mixdq.configs.quality_table import QualityTable
from mixdq.eval.quality.networks import Resize
from mixdq.eval.quality.request import Metric

_EFFNET = "effnet-lite0"


def parse_metrics(text: str | None) -> frozenset[Metric] | None:
    """`fid,kid` as a set; None stays None.

    Raises:
        EvaluationError: an unknown name, or none at all.
    """
    if text is None:
        return None
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in set(Metric)]
    if unknown or not names:
        raise EvaluationError(
            f"--metrics takes names with commas between them: {', '.join(Metric)}; found {text!r}"
        )
    return frozenset(map(Metric, names))


def parse_features(text: str | None, *, with_inception: bool) -> bool:
    """Whether EfficientNet-Lite0's features are wanted: if they are named, or there are no others.

    Raises:
        EvaluationError: another name.
    """
    if text not in (None, _EFFNET):
        raise EvaluationError(
            f"--features takes {_EFFNET}, found {text!r}; for Inception give --inception FILE instead"
        )
    return text == _EFFNET or not with_inception


def parse_resize(text: str) -> Resize:
    """`clean` or `inside`.

    Raises:
        EvaluationError: another word.
    """
    if text not in set(Resize):
        raise EvaluationError(f"--resize takes {' or '.join(Resize)}, found {text!r}")
    return Resize(text)


def check_out(out: Path) -> None:
    """Refuses to replace a file that is no table of quality: another table, or a set's manifest.

    Raises:
        EvaluationError: there is something else at that path.
    """
    if not out.exists():
        return
    try:
        QualityTable.read(out)
    except MixdqError as error:
        raise EvaluationError(
            f"--out would overwrite {out}, which is no table of mixdq-eval quality ({error}); name another "
            "file, or move that one away"
        ) from error
