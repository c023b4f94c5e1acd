"""The engines of a bundle's CUDA target one by one, on the GPU's clock; `python -m` runs it.

`mixdq-eval latency` times stages as a caller sees them, with what the processor does between engines. This
is what the GPU alone takes: an engine's recorded graph, replayed on inputs that are there already.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import quantiles
from typing import Annotated, Any

import typer

from mixdq.configs.bundle import Component
from mixdq.configs.console import run_app
from mixdq.configs.files import write_text
from mixdq.configs.machine import describe_machine, installed_versions

_WARM_UPS = 10

app = typer.Typer(add_completion=False)


@app.command()
def main(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    out: Annotated[Path, typer.Option(help="The figures.")],
    target: Annotated[str, typer.Option(help="Whose engines.")] = "cuda:sm90",
    resolution: Annotated[int | None, typer.Option(help="Pixels. (default: the bundle's smallest)")] = None,
    runs: Annotated[int, typer.Option(min=4, help="Of each engine.")] = 100,
) -> None:
    """Time every engine's graph, in milliseconds: median and quartiles."""
    from mixdq.runtime.loading import load

    with load(bundle, target=target) as pipeline:
        size = resolution or min(pipeline.bundle.resolutions)
        pipeline("red apple", seed=0, resolution=size)
        engines: Mapping[Component, Any] = {one: pipeline.engine(one, size) for one in Component}
        times = {component: graph_times(engine, runs) for component, engine in engines.items()}
    figures = {
        "bundle": {"model": pipeline.bundle.model.name, "plan": pipeline.bundle.plan_summary},
        "resolution": size,
        "batch": pipeline.bundle.batch,
        "runs": runs,
        "milliseconds": times,
        "machine": describe_machine(),
        "versions": installed_versions("mixdq", "torch", "triton"),
    }
    write_text(out, json.dumps(figures, indent=2) + "\n")
    for component, found in times.items():
        print(f"{component} at {size}: {found['median']} ms (quartiles {found['q1']} to {found['q3']})")


def graph_times(engine: Any, runs: int) -> dict[str, float]:
    """Milliseconds of a CUDA engine's replays, each between two events of its stream."""
    import torch

    cuda: Any = torch.cuda
    seen = []
    for turn in range(_WARM_UPS + runs):
        begin, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        cuda.synchronize()
        begin.record()
        engine.replay()
        end.record()
        cuda.synchronize()
        if turn >= _WARM_UPS:
            seen.append(begin.elapsed_time(end))
    low, middle, high = (round(value, 4) for value in quantiles(seen, n=4))
    return {"median": middle, "q1": low, "q3": high}


if __name__ == "__main__":
    run_app(app)
