"""Does the CUDA back end compute what the simulation of a plan says? Layer by layer, whole, and in pictures.

Rounding flips cascade, as in `mixdq.eval.agreement`: so layers are compared one at a time on the same input,
and the whole beside the spread of the simulation itself under other kernels: in FP64, and in FP16 as the
back end computes what is not quantized.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixdq.compiler.cuda.forms import NUMBERS
from mixdq.compiler.unet_run import UnetInputs
from mixdq.compiler.worker import Report
from mixdq.configs.errors import BundleError
from mixdq.configs.layers import LayerName
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.eval.compare.planned import Array
from mixdq.eval.compare.subject import Subject
from mixdq.eval.cuda_agreement_report import CudaAgreement, Likeness
from mixdq.eval.cuda_layers import CudaLayers
from mixdq.export.fidelity import psnr_db, sqnr_db
from mixdq.export.one_step import Batch, OneStep
from mixdq.export.one_step_size import prompts_at_once
from mixdq.export.repeatable import repeatable
from mixdq.export.scheduler_configs import scheduler_spec
from mixdq.export.simulate import simulated
from mixdq.runtime.noise import NoiseSource
from mixdq.runtime.scheduler import schedule

_PACKAGES = ("mixdq", "diffusers", "numpy", "torch", "triton")
_OTHER_KERNELS = {"simulation in FP64": torch.float64, "simulation in FP16": torch.float16}


@dataclass(frozen=True, slots=True)
class Engines:
    """What is compared with the simulation.

    Attributes:
        predict: the UNet's output `[B, 4, h, w]` of its inputs by name.
        draw: whole pictures `[B, 3, H, W]`, 0 to 1, of prompts and their seeds.
    """

    predict: Callable[[UnetInputs], Array]
    draw: Callable[[Sequence[str], Sequence[int]], Array]


def measure_cuda_agreement(
    subject: Subject,
    engines: Engines,
    *,
    target: str,
    prompts: Sequence[str],
    seed: int,
    device: str,
    report: Report,
) -> CudaAgreement:
    """Runs the prompts in the simulation and in the engines.

    Args:
        subject: a bundle, its plan and its model.
        engines: of the CUDA back end.
        target: whose they are.
        prompts: one picture each, from the runtime's noise of seed + i.
        seed: of the first.
        device: where torch simulates, and where the back end's layers run one at a time.
        report: told how far it is.

    Raises:
        BundleError: nothing is quantized.
    """
    if not subject.quantizes or subject.ranges is None:
        raise BundleError(
            f"{subject.root} holds no quantized layer: there is nothing to compare; give a quantized bundle"
        )
    report("full precision", 0, None)
    with repeatable():
        run = _Run(subject, prompts, seed, device)
        full = run.predictions(torch.float32, simulate=False)
        report("simulation", 0, None)
        layers: dict[LayerName, float] = {}
        expected = run.predictions(torch.float32, simulate=True, layers=layers)
        found = {"CUDA engine of the UNet": _of_engine(run, engines)}
        for words, dtype in _OTHER_KERNELS.items():
            report(words, 0, None)
            found[words] = run.predictions(dtype, simulate=True)
        pictures = run.pictures(expected)
        rows = {
            words: Likeness(run.decibels(one, expected), _like(run.pictures(one), pictures))
            for words, one in {**found, "full precision": full}.items()
        }
        report("whole pictures", 0, None)
        drawn = torch.from_numpy(engines.draw(prompts, run.seeds))
        rows["CUDA engines, prompt to picture"] = Likeness((), _like(drawn, pictures))
    return CudaAgreement(
        model_digest=subject.bundle.model.digest,
        plan_digest=subject.bundle.plan_digest,
        target=target,
        resolution=subject.resolution,
        prompts=tuple(prompts),
        seed=seed,
        machine=describe_machine(),
        versions=installed_versions(*_PACKAGES),
        layers=layers,
        rows=rows,
    )


class _Run:
    """The prompts, their text embeddings and their noise, on a device."""

    def __init__(self, subject: Subject, prompts: Sequence[str], seed: int, device: str) -> None:
        self._subject, self._device = subject, device
        self.seeds = range(seed, seed + len(prompts))
        source, size = subject.source, subject.resolution
        batch = prompts_at_once(size, device, 1)
        self._step = OneStep(source, prompts, seed=seed, resolution=size, batch=batch, device=device)
        self._schedule = schedule(scheduler_spec(source.configs["scheduler"]), 1)[0]
        starts = range(0, len(prompts), batch)
        self.batches = [
            self._with_noise(one, self.seeds[start : start + batch])
            for start, one in zip(starts, self._step.batches, strict=True)
        ]

    def predictions(
        self, dtype: torch.dtype, *, simulate: bool, layers: dict[LayerName, float] | None = None
    ) -> Tensor:
        """The UNet's output in FP32, `[prompts, 4, h, w]`.

        Args:
            dtype: what it computes in.
            simulate: whether the plan is simulated.
            layers: filled with each layer's agreement on the first prompt, if it is given.
        """
        subject, unet = self._subject, self._step.unet
        assert subject.ranges is not None
        plan = (subject.table, subject.plan, subject.ranges)
        alone = None if layers is None else CudaLayers(subject.source, unet, *plan)
        unet.to(dtype)
        try:
            with simulated(unet, *plan, NUMBERS) if simulate else nullcontext():
                if alone is not None and layers is not None:
                    with alone.watched(unet, layers):
                        self._predict(_first(self.batches[0]), dtype)
                outputs = [self._predict(batch, dtype) for batch in self.batches]
        finally:
            unet.to(torch.float32)
        return torch.cat(outputs).float()

    def pictures(self, predictions: Tensor) -> Tensor:
        """The decoded pictures of predictions, `[prompts, 3, H, W]`, 0 to 1, all by one VAE in FP32."""
        parts = torch.split(predictions, [len(batch) for batch in self.batches])
        found = [
            self._step.images(self._step.latents(batch, part))
            for batch, part in zip(self.batches, parts, strict=True)
        ]
        return torch.cat(found).cpu()

    @staticmethod
    def decibels(found: Tensor, expected: Tensor) -> tuple[float, ...]:
        """Signal to noise of each prompt's prediction."""
        return tuple(sqnr_db(found, expected).tolist())

    def _predict(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        return self._step.predict(
            replace(batch, sample=batch.sample.to(dtype), conditions=_cast(batch.conditions, dtype))
        )

    def _with_noise(self, batch: Batch, seeds: Sequence[int]) -> Batch:
        """The batch from the runtime's own noise, so that whole pictures can be compared."""
        channels, height, width = batch.noisy.shape[1:]
        noisy = NoiseSource(seeds).draw((channels, height, width)) * self._schedule.sigma
        device = self._device
        return replace(
            batch,
            noisy=torch.from_numpy(noisy).to(device, torch.float32),
            sample=torch.from_numpy(self._schedule.scale(noisy)).to(device, torch.float32),
        )


def _of_engine(run: _Run, engines: Engines) -> Tensor:
    """What the engine predicts, prompt by prompt."""
    outputs = []
    for batch in run.batches:
        conditions = batch.conditions["added_cond_kwargs"]
        named = {
            "sample": batch.sample,
            "encoder_hidden_states": batch.conditions["encoder_hidden_states"],
            "text_embeds": conditions["text_embeds"],
            "time_ids": conditions["time_ids"],
        }
        for index in range(len(batch)):
            inputs = {name: value[index : index + 1].float().cpu().numpy() for name, value in named.items()}
            timestep = np.asarray(float(batch.timestep), dtype=np.float32)
            outputs.append(torch.from_numpy(engines.predict({**inputs, "timestep": timestep})))
    return torch.cat(outputs).float().to(run.batches[0].sample.device)


def _first(batch: Batch) -> Batch:
    return replace(
        batch, sample=batch.sample[:1], noisy=batch.noisy[:1], conditions=_map(batch.conditions, _one)
    )


def _one(value: Tensor) -> Tensor:
    return value[:1]


def _cast(conditions: Any, dtype: torch.dtype) -> Any:
    return _map(conditions, lambda value: value.to(dtype))


def _map(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """A function of every tensor in nested mappings."""
    if isinstance(value, Tensor):
        return function(value)
    return None if value is None else {name: _map(part, function) for name, part in value.items()}


def _like(found: Tensor, expected: Tensor) -> tuple[float, ...]:
    return tuple(psnr_db(found, expected).tolist())
