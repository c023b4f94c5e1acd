"""The reference pipeline stage by stage in torch, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from mixdq.configs.errors import TargetError
from mixdq.configs.latency_table import WHOLE
from mixdq.eval.speed.bundle_subject import encode
from mixdq.eval.speed.clock import ENCODE, Clock, CudaClock, WallClock
from mixdq.eval.speed.reference_subject import Baseline
from mixdq.eval.speed.subject import Case
from mixdq.export.reference import ReferencePipeline, unit_noise
from mixdq.export.source import SourceModel

_MIB = 1 << 20
_GRAPH_WARM_UPS = 3


class TorchDrawer:
    """diffusers' modules and sampler on one device, called one after another so that each can be timed."""

    def __init__(self, model: SourceModel, baseline: Baseline, device: str, case: Case) -> None:
        """Loads the weights.

        Raises:
            ModelError: they are damaged.
            TargetError: torch here can't use the GPU.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise TargetError(
                f"torch {torch.__version__} can't use a GPU here; install its build for CUDA, or use "
                "--device cpu"
            )
        self._model, self._device, self._case = model, torch.device(device), case
        self._on_gpu = device == "cuda"
        self._clock: Clock = CudaClock() if self._on_gpu else WallClock()
        self._type: torch.dtype = getattr(torch, baseline.precision)
        self._pipe: Any = ReferencePipeline(
            model,
            streamed=False,
            dtype=self._type,
            vae_dtype=getattr(torch, model.choice.vae_precision),
            device=device,
        ).pipeline
        if self._on_gpu:
            # The layout that cuDNN's fast convolutions read.
            for module in (self._pipe.unet, self._pipe.vae):
                module.to(memory_format=torch.channels_last)
        self._encode: Any = _Recorded(self._encoded) if baseline.cuda_graph else self._encoded
        self._unet, self._decode = _ways(self._predict, self._decoded, baseline)
        if self._on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def draw(self) -> Mapping[str, float]:
        """See `Drawer.draw`."""
        stage = self._clock.stage
        with torch.no_grad(), stage(WHOLE):
            with stage("text"):
                text, pooled = self._embed()
            with stage("unet"):
                latents = self._denoise(text, pooled)
            with stage("vae"):
                images = self._pictures(latents)
            with stage(ENCODE):
                encode(images)
        return self._clock.take()

    def clock(self, stage: str) -> str:
        """See `Drawer.clock`."""
        return self._clock.kind(stage)

    def allocator_peak_mib(self) -> tuple[float, float] | None:
        """See `Drawer.allocator_peak_mib`."""
        if not self._on_gpu:
            return None
        return torch.cuda.max_memory_allocated() / _MIB, torch.cuda.max_memory_reserved() / _MIB

    def close(self) -> None:
        """Gives the memory back."""
        del self._pipe, self._encode, self._unet, self._decode
        if self._on_gpu:
            torch.cuda.empty_cache()

    def _embed(self) -> tuple[Tensor, Tensor]:
        prompts = [self._case.drawing.prompt] * self._case.batch
        ids = [
            tokenizer(
                prompts,
                padding="max_length",
                max_length=tokenizer.model_max_length,
                truncation=True,
                return_tensors="pt",
            ).input_ids.to(self._device)
            for tokenizer in (self._pipe.tokenizer, self._pipe.tokenizer_2)
        ]
        text, pooled = self._encode(*ids)
        return text, pooled

    def _denoise(self, text: Tensor, pooled: Tensor) -> Tensor:
        case = self._case
        scheduler: Any = self._pipe.scheduler
        scheduler.set_timesteps(case.drawing.steps, device=self._device)
        noise = unit_noise(self._model, case.batch, case.resolution, case.drawing.seed)
        sample: Tensor = noise.to(self._device, self._type) * scheduler.init_noise_sigma
        side = float(case.resolution)
        row = torch.tensor([side, side, 0, 0, side, side], device=self._device, dtype=self._type)
        sizes = row.expand(case.batch, 6).contiguous()
        generator = torch.Generator().manual_seed(case.drawing.seed)
        for timestep in scheduler.timesteps:
            scaled = scheduler.scale_model_input(sample, timestep)
            prediction = self._unet(scaled, timestep, text, pooled, sizes)
            sample = scheduler.step(prediction, timestep, sample, generator=generator).prev_sample
        return sample

    def _pictures(self, latents: Tensor) -> list[Image]:
        vae = self._pipe.vae
        pixels = self._decode(latents.to(vae.dtype) / vae.config.scaling_factor)
        levels = self._pipe.image_processor.postprocess(pixels, output_type="pil")
        images: list[Image] = levels
        return images

    def _predict(
        self, sample: Tensor, timestep: Tensor, text: Tensor, pooled: Tensor, sizes: Tensor
    ) -> Tensor:
        more = {"text_embeds": pooled, "time_ids": sizes}
        unet = self._pipe.unet
        found: Tensor = unet(
            sample, timestep, encoder_hidden_states=text, added_cond_kwargs=more, return_dict=False
        )[0]
        return found

    def _encoded(self, ids: Tensor, ids_2: Tensor) -> tuple[Tensor, Tensor]:
        """What `encode_prompt` makes of token ids: the last hidden states but one, and the pooled."""
        first = self._pipe.text_encoder(ids, output_hidden_states=True)
        second = self._pipe.text_encoder_2(ids_2, output_hidden_states=True)
        text = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        return text, second.text_embeds

    def _decoded(self, latents: Tensor) -> Tensor:
        pixels: Tensor = self._pipe.vae.decode(latents, return_dict=False)[0]
        return pixels


Function = Callable[..., Tensor]


def _ways(unet: Function, vae: Function, baseline: Baseline) -> tuple[Function, Function]:
    """Both networks as the baseline runs them."""
    if baseline.compiled:
        unet, vae = torch.compile(unet, dynamic=False), torch.compile(vae, dynamic=False)
    if baseline.cuda_graph:
        unet, vae = _Recorded(unet), _Recorded(vae)
    return unet, vae


class _Recorded:
    """A function of tensors on a GPU, recorded with its first arguments' shapes and replayed ever after."""

    def __init__(self, function: Callable[..., Any]) -> None:
        """Takes a function that gives a tensor, or a tuple of them."""
        self._function = function
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._output: Any = None

    def __call__(self, *inputs: Tensor) -> Any:
        if self._graph is None:
            self._record(inputs)
        assert self._graph is not None
        for place, value in zip(self._inputs, inputs, strict=True):
            place.copy_(value)
        self._graph.replay()
        output = self._output
        return output.clone() if isinstance(output, Tensor) else tuple(one.clone() for one in output)

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(value.to("cuda", copy=True) for value in inputs)
        # Libraries load and choose kernels in their first runs, which can't be recorded.
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(_GRAPH_WARM_UPS):
                self._function(*self._inputs)
        torch.cuda.current_stream().wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = self._function(*self._inputs)
