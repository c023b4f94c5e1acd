"""A tuning in words: its rounds, the layers that went back, and what was published or why nothing was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from mixdq.compiler.allocate.amounts import memory_in_words
from mixdq.compiler.tune.paired import Paired, Spread
from mixdq.compiler.tune.record import TuneRecord

_SLOWEST = 10


def in_words(record: TuneRecord) -> Iterator[RenderableType]:
    """The rounds as a table, then what came of them."""
    if record.adapted:
        yield f"{record.conditions.target} does not run {len(record.adapted)} layers as asked: adapted first"
    yield _rounds(record)
    yield f"it ended: {_ended(record)}"
    if uncounted := {o.uncounted for r in record.rounds for o in r.trial.outputs.values() if o.uncounted}:
        yield f"clipping was NOT looked for: {next(iter(uncounted))}"
    if record.returned:
        counts = Counter(str(one.why) for one in record.returned)
        said = ", ".join(f"{count} {why}" for why, count in counts.most_common())
        yield f"returned to floating point: {len(record.returned)} layers ({said}); most were gained by"
        gained = sorted(record.returned, key=lambda one: -(one.saved_us or 0.0))
        yield from (f"  {one.layer}: {one.reason}" for one in gained[:_SLOWEST])
    if record.refusal:
        yield f"nothing is published: {record.refusal}"


def _rounds(record: TuneRecord) -> Table:
    view = Table(title=f"the UNet on {record.conditions.target}: median and quartiles", title_justify="left")
    for name in ("round", "pixels", "quantized", "weights", "full ms", "quantized ms", "difference ms"):
        view.add_column(name, justify="right", no_wrap=True)
    for name in ("PSNR dB", "clipped layers", "returned then"):
        view.add_column(name, justify="right")
    for number, each in enumerate(record.rounds, start=1):
        trial = each.trial
        for resolution, times in trial.times.items():
            whole, outputs = times.whole, trial.outputs[resolution]
            view.add_row(
                f"{number}{' *' if trial.plan == record.published else ''}",
                str(resolution),
                str(trial.quantized),
                memory_in_words(8 * trial.bytes),
                _milliseconds(whole.full),
                _milliseconds(whole.candidate),
                _difference(whole),
                "-" if outputs.psnr_db is None else f"{outputs.psnr_db:.2f}",
                str(sum(share > record.limits.clipped for share in outputs.clipped.values())),
                str(len(each.decision.returns)),
            )
    return view


def _ended(record: TuneRecord) -> str:
    return record.rounds[-1].decision.stop or "all layers were returned, none is faster quantized"


def _difference(times: Paired) -> str:
    low, high = times.low_us / 1e3, times.high_us / 1e3
    return f"{times.difference_us / 1e3:+.2f} (from {low:+.2f} to {high:+.2f})"


def _milliseconds(spread: Spread) -> str:
    low, high = spread.lower_quartile_us / 1e3, spread.upper_quartile_us / 1e3
    return f"{spread.median_us / 1e3:.2f} [{low:.2f}, {high:.2f}]"
