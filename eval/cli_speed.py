"""`mixdq-eval`: the commands that measure time and memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mixdq.configs.console import stdout_console
from mixdq.configs.errors import EvaluationError
from mixdq.eval.speed.choices import Device, TorchPrecision

if TYPE_CHECKING:
    from mixdq.eval.speed.sources import Wanted

app = typer.Typer()


_REFERENCE = "The reference pipeline"
_Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="Bundles' folders; or models (emoji-turbo, a diffusers folder, a hub id), which diffusers' own "
        "pipeline draws.",
    ),
]
_Target = Annotated[
    list[str] | None,
    typer.Option(
        help="Which of a bundle's engines; may be repeated. ONNX Runtime's, or the only ones, if not given."
    ),
]
_Device = Annotated[
    Device, typer.Option(help="Where ONNX Runtime and the reference compute; TensorRT computes on a GPU.")
]
_Resolution = Annotated[
    list[int] | None,
    typer.Option(min=1, help="Pixels; may be repeated. All that a source was made for if not given."),
]
_Batch = Annotated[
    list[int] | None,
    typer.Option(
        min=1,
        help="Pictures at once; may be repeated. A bundle's own, and 1 for the reference, if not given; "
        "other batches than a bundle was built for are refused.",
    ),
]
_Steps = Annotated[int, typer.Option(min=1, help="Denoising steps.")]
_Prompt = Annotated[str, typer.Option(help="What to draw.")]
_Seed = Annotated[int, typer.Option(min=0, help="The noise of a batch's first picture.")]
_Precision = Annotated[
    TorchPrecision, typer.Option(help="Of its text encoders and UNet.", rich_help_panel=_REFERENCE)
]
_VaePrecision = Annotated[
    TorchPrecision,
    typer.Option(help="Of its VAE; SDXL's own overflows in float16.", rich_help_panel=_REFERENCE),
]
_Compile = Annotated[
    bool,
    typer.Option("--compile", help="Its UNet and VAE through torch.compile.", rich_help_panel=_REFERENCE),
]
_CudaGraph = Annotated[
    bool,
    typer.Option("--cuda-graph", help="Its UNet and VAE in CUDA graphs.", rich_help_panel=_REFERENCE),
]
_Weights = Annotated[
    str | None,
    typer.Option(
        help="Its weights: synthetic, a folder, a checkpoint; its own if not given.",
        rich_help_panel=_REFERENCE,
    ),
]


@app.command()
def latency(
    sources: _Sources,
    out: Annotated[Path, typer.Option(help="The table; one that is there is continued.")],
    target: _Target = None,
    device: _Device = Device.CPU,
    resolution: _Resolution = None,
    batch: _Batch = None,
    steps: _Steps = 1,
    warmup: Annotated[int, typer.Option(min=0, help="Pictures that each process draws before.")] = 3,
    repeats: Annotated[int, typer.Option(min=2, help="Pictures that each process measures.")] = 20,
    processes: Annotated[
        int, typer.Option(min=1, help="Fresh processes of each configuration, in turns with the others'.")
    ] = 3,
    prompt: _Prompt = "red apple",
    seed: _Seed = 0,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers", help="Also every layer of the UNet (ONNX Runtime on the CPU), in one process."
        ),
    ] = False,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Also mode,res,p50_ms,p95_ms,peak_mem_GB,prompt; the memory is measured in fresh processes."
        ),
    ] = None,
    precision: _Precision = TorchPrecision.FLOAT32,
    vae_precision: _VaePrecision = TorchPrecision.FLOAT32,
    compiled: _Compile = False,
    cuda_graph: _CudaGraph = False,
    weights: _Weights = None,
) -> None:
    """Time pictures: text, UNet, VAE, PNG and the whole; each configuration in several processes.

    Medians with quartiles and 95th percentile, and the processes' spread. After an interruption the same
    command goes on.
    """
    from mixdq.eval.speed.latency import measure_latency
    from mixdq.eval.speed.latency_run import Rounds
    from mixdq.eval.speed.latency_view import kernel_lines, latency_view
    from mixdq.eval.speed.memory import measure_memory
    from mixdq.eval.speed.probe_csv import MIN_WARMUP, write_csv
    from mixdq.eval.speed.sources import cases_of
    from mixdq.eval.speed.steadiness import unsteady_line

    if csv is not None and warmup < MIN_WARMUP:
        raise EvaluationError(
            f"the figures of --csv come after at least {MIN_WARMUP} warm-ups, not {warmup}; raise --warmup"
        )
    reference = (precision, vae_precision, compiled, cuda_graph, weights)
    cases = cases_of(_wanted(sources, target, device, resolution, batch, (prompt, seed, steps), reference))
    console = stdout_console()
    with console.status("") as status:

        def watch(phase: str, done: int, total: int | None) -> None:
            status.update(phase if total is None else f"{phase} {done + 1} of {total}")

        table = measure_latency(cases, Rounds(warmup, repeats, processes), out, watch, layers=layers)
        if csv is not None:
            write_csv(csv, cases, table, measure_memory(cases, MIN_WARMUP, None, watch))
    console.print(latency_view(table))
    for line in kernel_lines(table):
        console.print(line, highlight=False, soft_wrap=True)
    if warning := unsteady_line(table):
        console.print(warning, highlight=False, soft_wrap=True)
    for file in (out, csv):
        if file is not None:
            console.print(f"figures: {file}", highlight=False, soft_wrap=True)


@app.command()
def memory(
    sources: _Sources,
    out: Annotated[Path, typer.Option(help="The table; one that is there is continued.")],
    target: _Target = None,
    device: _Device = Device.CPU,
    resolution: _Resolution = None,
    batch: _Batch = None,
    steps: _Steps = 1,
    pictures: Annotated[int, typer.Option(min=1, help="Batches that each process draws.")] = 2,
    prompt: _Prompt = "red apple",
    seed: _Seed = 0,
    precision: _Precision = TorchPrecision.FLOAT32,
    vae_precision: _VaePrecision = TorchPrecision.FLOAT32,
    compiled: _Compile = False,
    cuda_graph: _CudaGraph = False,
    weights: _Weights = None,
) -> None:
    """Measure the peak memory of drawing pictures; each configuration in a fresh process.

    On the CPU the process's; on a GPU also torch's allocator's and the driver's. After an interruption the
    same command goes on.
    """
    from mixdq.eval.speed.memory import measure_memory
    from mixdq.eval.speed.memory_view import memory_view
    from mixdq.eval.speed.sources import cases_of

    reference = (precision, vae_precision, compiled, cuda_graph, weights)
    cases = cases_of(_wanted(sources, target, device, resolution, batch, (prompt, seed, steps), reference))
    console = stdout_console()
    with console.status("") as status:
        table = measure_memory(cases, pictures, out, lambda phase, done, total: status.update(phase))
    console.print(memory_view(table))
    console.print(f"figures: {out}", highlight=False, soft_wrap=True)


def _wanted(
    sources: list[str],
    target: list[str] | None,
    device: Device,
    resolution: list[int] | None,
    batch: list[int] | None,
    drawing: tuple[str, int, int],
    reference: tuple[TorchPrecision, TorchPrecision, bool, bool, str | None],
) -> Wanted:
    from mixdq.configs.model_choice import VaePrecision
    from mixdq.eval.speed.reference_subject import Baseline
    from mixdq.eval.speed.sources import Wanted
    from mixdq.eval.speed.subject import Drawing

    precision, vae_precision, compiled, cuda_graph, weights = reference
    return Wanted(
        sources=tuple(sources),
        targets=tuple(dict.fromkeys(target or ())),
        device=device,
        resolutions=tuple(dict.fromkeys(resolution or ())),
        batches=tuple(dict.fromkeys(batch or ())),
        drawing=Drawing(*drawing),
        baseline=Baseline(precision, compiled, cuda_graph),
        vae_precision=cast(VaePrecision, str(vae_precision)),
        weights=weights,
    )
