"""Pictures of the graphs that are deployed, against the simulation of the plan that was wished for.

A plan says what MixDQ would have: weights of 2, 4 and 8 bits, asymmetric activations. What a target runs
of it is another plan, in graphs of another form. Both make pictures here, of the same text and noise.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor

from mixdq.compiler.graphs import write_graphs
from mixdq.compiler.legal.choices import Rules
from mixdq.compiler.legal.legalize import Legalized, legalize
from mixdq.compiler.legal.probe import target_of
from mixdq.compiler.legal.totals import stored_bytes
from mixdq.compiler.unet_session import Array, feeds, open_session
from mixdq.compiler.worker import Report
from mixdq.configs.bundle import Component
from mixdq.configs.capability import Capability
from mixdq.configs.errors import TargetError
from mixdq.configs.form import WeightFormat
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.target import Dialect, Layout
from mixdq.eval.deployed_order import DeployedOrder
from mixdq.eval.deployed_report import Deployed, DeployedReport, NotDeployed, targets_in_words
from mixdq.export.fidelity import psnr_db
from mixdq.export.one_step import Batch, OneStep
from mixdq.export.one_step_size import prompts_at_once
from mixdq.export.repeatable import repeatable
from mixdq.export.simulate import simulated

_PACKAGES = ("mixdq", "diffusers", "numpy", "onnx", "onnxruntime", "torch")


def measure_deployed(order: DeployedOrder, report: Report) -> DeployedReport:
    """Draws each plan as it is meant and as each target runs it; targets that run the same graph together.

    The UNet alone differs: text embeddings and the VAE are those of the model in FP32. Graphs run in ONNX
    Runtime on the CPU, those of TensorRT too, in the FP16 in which they are written.

    Raises:
        ModelError: values that are not finite.
        GraphError: ONNX Runtime refuses a graph.
        StorageError: the disk is full.
    """
    report("full precision", 0, None)
    with repeatable():
        run = OneStep(
            order.source,
            order.prompts,
            seed=order.seed,
            resolution=order.resolution,
            batch=prompts_at_once(order.resolution, "cpu", 1),
        )
    found = [each for name in order.plans for each in _of_plan(order, run, name, report)]
    return DeployedReport(
        model_digest=order.table.model.digest,
        ranges_digest=order.ranges.digest,
        activations=order.activations,
        resolution=order.resolution,
        prompts=tuple(order.prompts),
        seed=order.seed,
        machine=describe_machine(),
        versions=installed_versions(*_PACKAGES),
        deployed=tuple(each for each in found if isinstance(each, Deployed)),
        not_deployed=tuple(each for each in found if isinstance(each, NotDeployed)),
    )


def _of_plan(
    order: DeployedOrder, run: OneStep, name: str, report: Report
) -> Iterator[Deployed | NotDeployed]:
    plan = order.plans[name]
    deployable, refused = _legal(order, plan)
    yield from (NotDeployed(name, target, reason) for target, reason in refused.items())
    if not deployable:
        return
    report(f"{name}: the plan's simulation", 0, None)
    full = torch.cat([batch.images for batch in run.batches])
    ideal = _pictures(run, _simulate(order, run, plan, Dialect.ORT))
    for targets, made in deployable:
        dialect, realization = target_of(targets[0]).dialect, made.plan.realization
        assert realization is not None
        report(f"{name}: {targets_in_words([str(target) for target in targets])}", 0, None)
        own = _pictures(run, _simulate(order, run, made.plan, dialect))
        built = _pictures(run, _execute(order, run, made.plan, dialect))
        yield Deployed(
            plan=name,
            plan_digest=plan.digest,
            targets=tuple(map(str, targets)),
            forms=Counter(map(str, realization.forms.values())),
            changed=len(made.changes),
            weight_bytes=stored_bytes(
                made.plan, realization, order.table, float_bytes=targets[0].table.float_bytes
            ),
            ideal_db=_psnr(built, ideal),
            own_db=_psnr(built, own),
            full_db=_psnr(built, full),
            ideal_to_full_db=_psnr(ideal, full),
        )


def _legal(
    order: DeployedOrder, plan: PrecisionPlan
) -> tuple[list[tuple[list[Capability], Legalized]], dict[str, str]]:
    """What becomes of a plan, the targets of equal graphs together; and why others run nothing of it."""
    made: dict[object, tuple[list[Capability], Legalized]] = {}
    refused = {}
    wish = replace(plan, activations=order.activations)
    for target in order.targets:
        try:
            legal = legalize(wish, order.table, Rules(target, None, unwritten=False))
        except TargetError as error:
            refused[str(target)] = str(error)
            continue
        assert legal.plan.realization is not None
        forms = legal.plan.realization.forms.values()
        if any(form.weight is WeightFormat.FP8 for form in forms):
            refused[str(target)] = (
                f"{target} would run it in FP8, which ONNX Runtime, drawing here, can't compute"
            )
            continue
        key = (target_of(target).dialect, *forms)
        made.setdefault(key, ([], legal))[0].append(target)
    return list(made.values()), refused


def _simulate(order: DeployedOrder, run: OneStep, plan: PrecisionPlan, dialect: Dialect) -> list[Tensor]:
    with repeatable(), simulated(run.unet, order.table, plan, order.ranges, dialect):
        return [run.predict(batch) for batch in run.batches]


def _execute(order: DeployedOrder, run: OneStep, plan: PrecisionPlan, dialect: Dialect) -> list[Tensor]:
    """What the graph of a plan predicts, one picture at a time."""
    with tempfile.TemporaryDirectory(prefix="mixdq-deployed-") as folder:
        files = write_graphs(
            skeleton=order.skeleton,
            reader=order.source.weights["unet"].open(),
            component=Component.UNET,
            out=Path(folder),
            dialect=dialect,
            layout=Layout.PER_RESOLUTION,
            resolutions=(order.resolution,),
            batch=1,
            table=order.table,
            plan=plan,
            ranges=order.ranges,
            report=lambda phase, done, total: None,
        )
        session = open_session(files[order.resolution].graph)
        return [
            torch.cat([_predict(session, batch, row) for row in range(len(batch))]) for batch in run.batches
        ]


def _predict(session: ort.InferenceSession, batch: Batch, row: int) -> Tensor:
    """What a graph for one picture predicts of a batch's, `[1, 4, h, w]`."""
    prediction: Array = session.run(None, feeds(session, _inputs(batch, row)))[0]
    return torch.from_numpy(prediction.astype(np.float32))


def _inputs(batch: Batch, row: int) -> dict[str, Array]:
    """The graph's inputs for one picture of a batch."""
    conditions = dict(batch.conditions)
    tensors = {
        "sample": batch.sample,
        "encoder_hidden_states": conditions["encoder_hidden_states"],
        **conditions["added_cond_kwargs"],
    }
    rows = {name: tensor[row : row + 1].numpy() for name, tensor in tensors.items()}
    return {**rows, "timestep": batch.timestep.numpy()}


def _pictures(run: OneStep, predictions: Sequence[Tensor]) -> Tensor:
    with repeatable():
        pairs = zip(run.batches, predictions, strict=True)
        return torch.cat([run.images(run.latents(batch, prediction)) for batch, prediction in pairs])


def _psnr(found: Tensor, expected: Tensor) -> tuple[float, ...]:
    return tuple(psnr_db(found, expected).tolist())
