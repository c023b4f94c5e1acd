"""`mixdq-eval cuda-agreement`: a bundle's CUDA engines against the simulation of its plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixdq.configs.console import stdout_console

app = typer.Typer()


@app.command()
def cuda_agreement(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    out: Annotated[Path, typer.Option(help="The figures.")] = Path("cuda-agreement.json"),
    target: Annotated[
        str | None, typer.Option(help="Which of its cuda targets. (default: the only one)")
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="Pixels. (default: the bundle's smallest)")] = None,
    prompts: Annotated[Path | None, typer.Option(help="One a line. (default: the preset's)")] = None,
    prompt_count: Annotated[int, typer.Option(min=1, help="How many of them.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Prompt i starts from the noise of SEED + i.")] = 0,
    model: Annotated[
        str | None, typer.Option(help="The model that it was compiled from. (default: the one that it names)")
    ] = None,
) -> None:
    """Compare a bundle's CUDA engines with the simulation of its plan: layer by layer, whole, in pictures.

    Beside them stand the simulation with other kernels, in FP64 and in FP16, and full precision. Needs the
    GPU that the bundle was built for.
    """
    # torch takes seconds to import: not for --help.
    from mixdq.compiler.recipe import read_prompts
    from mixdq.configs.presets import preset_for
    from mixdq.eval.compare.subject import open_subject
    from mixdq.eval.cuda_agreement import measure_cuda_agreement
    from mixdq.eval.cuda_engines import choose_target, engines_of
    from mixdq.export.device import find_device

    subject = open_subject(bundle, model, resolution)
    chosen = choose_target(subject.bundle, target)
    file = prompts or preset_for(subject.source.identity.name).prompts_file
    texts = read_prompts(file, prompt_count)
    console = stdout_console()
    with engines_of(subject, chosen) as engines, console.status("") as status:
        found = measure_cuda_agreement(
            subject,
            engines,
            target=str(chosen),
            prompts=texts,
            seed=seed,
            device=find_device(None),
            report=lambda phase, done, total: status.update(phase),
        )
    found.write(out)
    console.print(found.table())
    for line in found.lines():
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"figures: {out}", highlight=False, soft_wrap=True)
