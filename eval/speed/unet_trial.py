"""A UNet of made-up weights at its full size, on a GPU, in several ways within one run; `python -m` runs it.

Speed and memory depend on shapes, not on what the weights hold, so that no weights have to be fetched. Every
way is compiled in a process of its own, all at once; then each is timed alone, one after another.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TextIO

import typer

from mixdq.configs.machine import describe_machine, installed_versions

ALL_WAYS = ("eager", "graph", "compiled", "fp16", "w8a8", "w4a16")
"""diffusers' UNet in FP16: called; in a CUDA graph; through torch.compile and in a graph. The CUDA back end:
with an all-FP16 plan; W8A8 with nine protected layers; linear layers W4A16, convolutions W8A8."""

_CHILD = "mixdq.eval.speed.unet_trial_case"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class _Child:
    title: str
    process: subprocess.Popen[str]

    def read(self) -> dict[str, object] | None:
        """The next line that it says in JSON; None once it has ended."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                found: dict[str, object] = json.loads(line)
                return found
        return None

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()


@app.command()
def main(
    out: Annotated[Path, typer.Option("--out", help="A folder for the figures.")],
    resolution: Annotated[list[int], typer.Option("--resolution", help="Pixels; repeat it.")],
    way: Annotated[list[str] | None, typer.Option("--way", help="What to time; repeat it.")] = None,
    batch: Annotated[int, typer.Option("--batch")] = 1,
    model: Annotated[str, typer.Option("--model")] = "sdxl-turbo",
    device: Annotated[str, typer.Option("--device", help="cuda; cpu to try this program.")] = "cuda",
    patience: Annotated[float, typer.Option("--patience", help="Seconds to wait for compilers.")] = 3600.0,
    profile: Annotated[bool, typer.Option("--profile", help="Times of kernels as well.")] = False,
) -> None:
    """Times the UNet in every way at every resolution, and writes `unet.csv` and `machine.json`."""
    out.mkdir(parents=True, exist_ok=True)
    work = out / "work"
    subprocess.run(
        [sys.executable, "-m", _CHILD, "prepare", model, str(resolution[0]), device, str(work)], check=True
    )
    names = [(one, size) for one in way or ALL_WAYS for size in resolution]
    with (out / "log.txt").open("w") as log:
        children = [_start(name, size, batch, model, device, work, profile, log) for name, size in names]
        rows = _measure(children, patience)
    _write(out, rows)


def _start(
    way: str, resolution: int, batch: int, model: str, device: str, work: Path, profile: bool, log: TextIO
) -> _Child:
    words = [way, str(resolution), str(batch), model, device, str(work), "profile" if profile else ""]
    process = subprocess.Popen(
        [sys.executable, "-m", _CHILD, "case", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    return _Child(f"{way} {resolution}", process)


def _measure(children: Sequence[_Child], patience_s: float) -> list[dict[str, object]]:
    """Waits until all are compiled, or as long as it may, and has one after another timed."""
    found: dict[str, dict[str, object] | None] = {}
    waiting = [
        threading.Thread(target=lambda one=child: found.update({one.title: one.read()})) for child in children
    ]
    until = time.monotonic() + patience_s
    for thread in waiting:
        thread.daemon = True
        thread.start()
    for thread in waiting:
        thread.join(max(0.0, until - time.monotonic()))
    ready = [child for child in children if found.get(child.title) is not None]
    for child in children:
        print(f"{child.title}: {found.get(child.title, 'not compiled in time')}", flush=True)
        if child not in ready:
            child.process.kill()
    rows = []
    for child in ready:
        child.go()
        if (row := child.read()) is not None:
            rows.append(row)
            print(json.dumps(row), flush=True)
        child.process.wait()
    return rows


def _write(out: Path, rows: Sequence[dict[str, object]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with (out / "unet.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    facts = {
        "machine": describe_machine(),
        "versions": installed_versions("torch", "triton", "diffusers", "torchao"),
        "command": " ".join(["python", "-m", "mixdq.eval.speed.unet_trial", *sys.argv[1:]]),
    }
    (out / "machine.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    app()
