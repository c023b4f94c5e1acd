"""An ablation as tables for the documentation (`ablation.md`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mixdq.configs.files import write_text
from mixdq.configs.quality_table import Score
from mixdq.eval.ablation.report import Ablation, AblationRow
from mixdq.eval.ablation.role_rows import ByRole

_MARKDOWN_FILE = "ablation.md"
_NOTHING = "–"


def write_markdown(found: Ablation, folder: Path) -> Path:
    """Writes `ablation.md` and returns where."""
    path = folder / _MARKDOWN_FILE
    write_text(path, "\n".join(markdown(found)) + "\n")
    return path


def markdown(found: Ablation) -> Iterator[str]:
    """Lines: what was run, the plans, the pictures' scores, the comparison with the paper, the roles."""
    header = found.header
    yield (
        f"{header.model.name} ({header.model.digest[:12]}), {header.count} prompts of seed {header.seed}, "
        f"{header.resolution} pixels, one step, ONNX Runtime on {found.machine['cores']} cores of "
        f"{found.machine['processor']}; 95 % bootstrap intervals."
    )
    yield from ("", f"    {found.command}", "")
    yield from _table(
        ("", "weight bits", "activation bits", "protected", "MiB", "Gbop", "plan"), map(_costs, found.rows)
    )
    yield from ("", "Against full precision, same prompts and noise:", "")
    names = ("FID-EffLite0", "SSIM (whole picture)", "SSIM (window", "PSNR dB", "SQNR dB", "emoji alignment")
    shown = [name for name in names if any(row.score(name) for row in found.rows)]
    yield from _table(
        ("", *(name.split(" (w")[0] + _window(name) for name in shown), "PSNR over the step before"),
        ((row.label, *(_cell(row, name) for name in shown), _step(row)) for row in found.rows),
    )
    if found.training_sha256 is not None:
        yield from ("", f"Against {found.training_count} training pictures:", "")
        yield from _table(*_training(found.rows))
    yield from ("", "Against the paper (SDXL-Turbo, FID on COCO; ratios of FIDs, which alone compare):", "")
    yield from _table(
        ("", "paper's FID", "over", "paper", "here", "by", "same direction"),
        (_paper(row) for row in found.rows if row.paper_fid is not None),
    )
    if found.by_role is not None:
        yield from _roles(found.by_role)
    yield ""
    yield from (
        f"- refused: {metric} of {row.name}: {why}"
        for row in found.rows
        for metric, why in row.refused.items()
    )
    yield from (f"- {outcome}" for outcome in found.failed_controls)
    if found.not_scored:
        yield f"- not scored: {', '.join(found.not_scored)}; ablation.json says why"


def _costs(row: AblationRow) -> Sequence[str]:
    costs = row.costs
    return (
        row.label,
        f"{costs.weight_bits:.3f}",
        f"{costs.activation_bits:.3f}",
        str(costs.protected),
        f"{costs.packed_bytes / 2**20:.2f}",
        f"{costs.bops / 1e9:.1f}",
        row.how,
    )


def _training(rows: Sequence[AblationRow]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    names = [score.metric for score in rows[0].training]
    cells = [(row.label, *(_shown(row.score(name, training=True)) for name in names)) for row in rows]
    return ("", *names), cells


def _paper(row: AblationRow) -> Sequence[str]:
    assert row.paper_fid is not None
    fid, place = row.paper_fid
    found = row.comparison
    if found is None:
        return row.label, f"{fid:g} ({place})", *(_NOTHING,) * 5
    return (
        row.label,
        f"{fid:g} ({place})",
        found.against,
        f"× {found.paper:.3g}",
        f"× {found.ours:.3g}",
        found.metric,
        "yes" if found.agrees else "**no**",
    )


def _roles(found: ByRole) -> Iterator[str]:
    yield from (
        "",
        f"One role at W8A8, all other layers in floating point, {found.prompts} prompts, simulated in torch:",
        "",
    )
    by_key = {(row.role, row.bos_aware): row for row in found.rows}
    rows = []
    for role in dict.fromkeys(row.role for row in found.rows):
        plain, aware = by_key[role, False], by_key[role, True]
        rows.append(
            (
                str(role),
                str(plain.layers),
                *(f"{row.ssim:.4f}" for row in (plain, aware)),
                *(f"{1 - row.ssim:.2g}" for row in (plain, aware)),
                *(f"{row.sqnr_db:.1f}" for row in (plain, aware)),
            )
        )
    heads = ("SSIM", "SSIM, BOS-aware", "1 - SSIM", "1 - SSIM, BOS-aware", "SQNR dB", "SQNR dB, BOS-aware")
    yield from _table(("role", "layers", *heads), rows)
    if not found.text_layers:
        return
    yield from ("", "Cross-attention's K and V alone at 8 bits, SQNR in dB of the UNet's output:", "")
    fields = ("activation_db", "activation_bos_db", "weight_db", "weight_bos_db")
    columns = [[getattr(layer, field) for layer in found.text_layers] for field in fields]
    yield from _table(
        ("layer", "activation", "activation, BOS-aware", "weight", "weight, BOS-aware"),
        (
            (f"mean of {len(columns[0])}", *(f"{sum(column) / len(column):.1f}" for column in columns)),
            ("lowest", *(f"{min(column):.1f}" for column in columns)),
            ("highest", *(f"{max(column):.1f}" for column in columns)),
        ),
    )


def _cell(row: AblationRow, name: str) -> str:
    score = row.score(name)
    if score is None:
        return "refused" if any(metric.startswith(name) for metric in row.refused) else _NOTHING
    if row.name == "full" and score.against_reference is None:
        return "itself"
    return _shown(score)


def _shown(score: Score | None) -> str:
    if score is None:
        return _NOTHING
    text = f"{score.value:.4g}"
    if score.low is not None and score.high is not None:
        text += f" ({score.low:.4g} to {score.high:.4g})"
    return text


def _step(row: AblationRow) -> str:
    found = row.step
    return _NOTHING if found is None else f"{found.mean:+.2f} ({found.low:+.2f} to {found.high:+.2f})"


def _window(name: str) -> str:
    return ", whole" if "whole" in name else ", window 7" if "window" in name else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
