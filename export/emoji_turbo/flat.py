"""All parameters of a module in one vector, so that Adam, clipping and averaging are a few operations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

_BETAS = (0.9, 0.99)
_EPSILON = 1e-8
_MAX_GRADIENT_NORM = 1.0


class FlatAdam:
    """Adam (Kingma and Ba 2015) with a moving average of the weights, over a module's flattened parameters.

    The module's parameters and their gradients become views of `weights` and `gradient`.
    """

    def __init__(
        self, module: nn.Module, rate_of: Callable[[str, nn.Parameter], Tensor | float], decay: float
    ) -> None:
        """Takes over `module`'s parameters.

        Args:
            module: What to train, in FP32 on its device.
            rate_of: The learning rate's factor for a parameter (name, value): a number, or one an element.
            decay: How much of the moving average stays in a step.
        """
        named = list(module.named_parameters())
        self.weights = torch.cat([p.detach().flatten() for _, p in named])
        self.gradient = torch.zeros_like(self.weights)
        self.average = self.weights.clone()
        self._first, self._second = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        self._factors = torch.cat(
            [torch.as_tensor(rate_of(n, p), device=p.device).expand(p.shape).flatten() for n, p in named]
        )
        self._factors = self._factors.to(self.weights.dtype)
        self._decay = decay
        self.steps = 0
        self._module = module
        self._attach(self.weights)

    def step(self, rate: float) -> None:
        """One update with learning rate `rate` from what is in `gradient`."""
        self.steps += 1
        gradient = self.gradient.mul_(self._factors > 0)
        gradient *= (_MAX_GRADIENT_NORM / (gradient.norm() + 1e-6)).clamp(max=1.0)
        self._first.lerp_(gradient, 1 - _BETAS[0])
        self._second.lerp_(gradient.square(), 1 - _BETAS[1])
        scale = (self._second / (1 - _BETAS[1] ** self.steps)).sqrt_().add_(_EPSILON)
        self.weights.addcdiv_(self._first * self._factors, scale, value=-rate / (1 - _BETAS[0] ** self.steps))
        # A young average follows faster, so that it forgets the random start.
        self.average.lerp_(self.weights, 1 - min(self._decay, (1 + self.steps) / (10 + self.steps)))

    def use_average(self) -> None:
        """Puts the moving average in the module's parameters, for good."""
        self._attach(self.average)

    def state(self) -> dict[str, Tensor | int]:
        """What a checkpoint must hold."""
        return {"steps": self.steps, **{name: getattr(self, name) for name in self._vectors()}}

    def load(self, state: dict[str, Tensor | int]) -> None:
        """Takes over a checkpoint's state, in place."""
        self.steps = int(state["steps"])
        for name in self._vectors():
            value = state[name]
            assert isinstance(value, Tensor)
            getattr(self, name).copy_(value)

    @staticmethod
    def _vectors() -> tuple[str, ...]:
        return ("weights", "average", "_first", "_second")

    def _attach(self, vector: Tensor) -> None:
        start = 0
        for parameter in self._module.parameters():
            end = start + parameter.numel()
            parameter.data = vector[start:end].view(parameter.shape)
            parameter.grad = self.gradient[start:end].view(parameter.shape)
            start = end
