"""What comes before a layer is not computed again: the UNet's parts give what they gave before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from mixdq.configs.layers import LayerName
from mixdq.export.layers import quantizable
from mixdq.export.one_step import repeated

Recording = Mapping[str, Any]
"""The outputs of a UNet's parts on one batch, by module path."""

_SMALLEST = (BasicTransformerBlock, ResnetBlock2D)  # what they hold is computed with them


class Replay:
    """The parts of a UNet whose outputs are kept, and the order in which they run.

    A part holds quantizable layers and runs once; a transformer block or a resnet is the smallest. With one
    layer changed, the parts that ended before its own began give their outputs again, so that half of the
    UNet's work is left on average; their memory is a few outputs a block (about 240 MB a prompt for SDXL at
    512 pixels in FP32).
    """

    def __init__(self, unet: nn.Module) -> None:
        self._unet = unet
        self._parts = dict(_parts(unet))
        self._span: dict[str, tuple[int, int]] = {}

    def record(self, run: Callable[[], object]) -> Recording:
        """Runs the UNet once; the outputs of its parts."""
        outputs: dict[str, Any] = {}
        begun: dict[str, int] = {}
        calls: dict[str, int] = {}
        span: dict[str, tuple[int, int]] = {}
        clock = 0

        def begin(name: str, _: nn.Module, __: Any) -> None:
            nonlocal clock
            clock += 1
            begun[name] = clock
            calls[name] = calls.get(name, 0) + 1

        def end(name: str, _: nn.Module, __: Any, output: Any) -> None:
            nonlocal clock
            clock += 1
            span[name], outputs[name] = (begun[name], clock), output

        hooks = [part.register_forward_pre_hook(partial(begin, name)) for name, part in self._parts.items()]
        hooks += [part.register_forward_hook(partial(end, name)) for name, part in self._parts.items()]
        try:
            run()
        finally:
            for hook in hooks:
                hook.remove()
        self._span = {name: when for name, when in span.items() if calls[name] == 1}
        return {name: outputs[name] for name in self._span}

    @contextmanager
    def before(self, layer: LayerName, recording: Recording, copies: int) -> Iterator[None]:
        """Whatever ended before the layer's part began gives its recorded output while the block runs.

        Args:
            layer: one of the UNet's.
            recording: of the batch that runs.
            copies: how often the batch is repeated.
        """
        names = self.done_before(layer)
        for name in names:
            self._parts[name].forward = partial(_again, recording[name], copies)
        try:
            yield
        finally:
            for name in names:
                del self._parts[name].forward

    def done_before(self, layer: LayerName) -> tuple[str, ...]:
        """The parts that need not run, none inside another, in the order in which they ran."""
        own = max((name for name in self._span if _holds(name, layer)), key=len)
        start, _ = self._span[own]
        done: list[str] = []
        # By their ends a part comes after all that is inside it.
        for name, (_, end) in sorted(self._span.items(), key=lambda item: item[1][1]):
            if end < start:
                done = [other for other in done if not _holds(name, other)]
                done.append(name)
        return tuple(done)


def recorded_values(unet: nn.Module, run: Callable[[], object]) -> tuple[int, int]:
    """How many values a recording holds, and how many the UNet's largest tensor; on the meta device too.

    Args:
        unet: the model.
        run: runs it once.
    """
    largest = 0

    def see(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal largest
        largest = max([largest, *(tensor.numel() for tensor in _tensors((inputs, output)))])

    hooks = [module.register_forward_hook(see) for module in unet.modules() if not list(module.children())]
    try:
        recording = Replay(unet).record(run)
    finally:
        for hook in hooks:
            hook.remove()
    # A block gives its resnets' outputs again, which are the same tensors.
    different = {id(tensor): tensor.numel() for tensor in _tensors(list(recording.values()))}
    return sum(different.values()), largest


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)


def _parts(unet: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    layers = [name for name, _ in quantizable(unet)]
    whole: list[str] = []
    for name, module in unet.named_modules():
        inside = any(_holds(other, name) for other in whole)
        if name and not inside and any(_holds(name, layer) for layer in layers):
            yield name, module
            if isinstance(module, _SMALLEST):
                whole.append(name)


def _holds(outer: str, inner: str) -> bool:
    return inner == outer or inner.startswith(f"{outer}.")


def _again(output: Any, copies: int, *_: Any, **__: Any) -> Any:
    return repeated(output, copies)
