"""What stages need of the machine, reckoned before they run from how many weights a model has."""

from __future__ import annotations

from collections.abc import Mapping

from mixdq.compiler.build_memory import memory_need_mib
from mixdq.compiler.recipe import Calibration, Recipe
from mixdq.configs.bundle import Component
from mixdq.configs.layers import LayerTable
from mixdq.configs.realized import RealizedLayer
from mixdq.configs.target import Backend, Dialect, Layout, Target
from mixdq.export.calibrate_size import batch_size
from mixdq.export.source import SUBFOLDERS, SourceModel

TORCH_MIB = 1200.0
"""A child process that imports torch and diffusers, and exports SDXL's UNet without its weights (755 MiB)."""

_LIBRARIES_MIB = 400.0
_MIB = 1 << 20
_ENGINE_FIXED_BYTES = 120_000_000  # what an engine holds besides its weights, each profile of it, at most
_ACTIVATIONS_MIB = 2600.0  # of one picture of 512 pixels through SDXL's UNet in FP32; grows with its area
_PACKAGES_MIB = 6000.0  # torch's compiler at work on SDXL's UNet
_PACKAGE_BYTES = 40_000_000  # of one package's code
_SDXL_CHANNELS, _SDXL_PIXELS = 320, 512**2


class Needs:
    """Memory and disk of the stages of one recipe: figures of the full-size SDXL-Turbo, rounded up."""

    def __init__(
        self, recipe: Recipe, source: SourceModel, parameters: Mapping[str, int], table: LayerTable | None
    ) -> None:
        """Keeps what needs depend on.

        Args:
            recipe: what is made.
            source: the model.
            parameters: how many each component has.
            table: the UNet's layers; None before they are known, when nothing is asked of a quantized UNet.
        """
        self._recipe, self._source, self._parameters = recipe, source, parameters
        self._table = table
        self._unet_bytes: dict[Dialect, int] = {}

    def calibration_mib(self) -> float:
        """Of a calibration: the activations of one batch; weights come one layer at a time."""
        given = self._recipe.ranges
        resolutions = given.resolutions if isinstance(given, Calibration) else None
        pixels = max(r**2 * batch_size(r) for r in resolutions or self._recipe.resolutions)
        channels: int = self._source.configs["unet"]["block_out_channels"][0]
        return TORCH_MIB + _ACTIVATIONS_MIB * channels / _SDXL_CHANNELS * pixels / _SDXL_PIXELS

    def graph_bytes(self, component: Component, dialect: Dialect) -> int:
        """The size of a component's stored weights; of a quantized UNet in its plan's forms.

        Raises:
            PlanError: a plan of other layers.
            DigestError: a plan of another model.
        """
        if component is Component.UNET and self._recipe.quantizes:
            if dialect not in self._unet_bytes:
                self._unet_bytes[dialect] = self._quantized_bytes(dialect)
            return self._unet_bytes[dialect]
        wide = dialect is Dialect.ORT or SUBFOLDERS[component] == "vae"
        return self._parameters[component] * (4 if wide else 2)

    def _quantized_bytes(self, dialect: Dialect) -> int:
        assert self._table is not None
        plan, float_bytes = self._recipe.plan_for(self._table), 4 if dialect is Dialect.ORT else 2
        layers = sum(
            RealizedLayer.of(plan, layer, dialect).form.bytes(
                layer, float_bytes=float_bytes, parts=2 if plan.splits(layer) else 1
            )
            for layer in self._table
        )
        others = self._parameters[Component.UNET] - sum(layer.weights for layer in self._table)
        return layers + others * float_bytes

    def graph_mib(self, component: Component, dialect: Dialect) -> float:
        """Of writing graphs: quantized weights are held until they are written, all others one by one."""
        quantized = component is Component.UNET and self._recipe.quantizes
        return _LIBRARIES_MIB + (self.graph_bytes(component, dialect) / _MIB if quantized else 0.0)

    def engine_mib(self, component: Component, target: Target) -> float:
        """Of building an engine, or of loading the graph that is one."""
        size = self.graph_bytes(component, target.dialect)
        if target.backend is Backend.CPU:
            return _LIBRARIES_MIB + 2 * size / _MIB
        return memory_need_mib(size, self._profiles(component))

    def package_mib(self, component: Component) -> float:
        """Of compiling a package: torch's compiler, and the weights on their way to the GPU."""
        return _PACKAGES_MIB + self.constants_bytes(component) / _MIB

    def package_bytes(self) -> int:
        """The size of a package."""
        return _PACKAGE_BYTES

    def constants_mib(self, component: Component) -> float:
        """Of writing the constants of a component's packages."""
        return TORCH_MIB + self.constants_bytes(component) / _MIB

    def constants_bytes(self, component: Component) -> int:
        """The size of that file."""
        return self.graph_bytes(component, Dialect.TENSORRT)

    def _profiles(self, component: Component) -> int:
        sized = component in (Component.UNET, Component.VAE_DECODER)
        return len(self._recipe.resolutions) if sized and self._recipe.layout is Layout.DYNAMIC else 1

    def engine_bytes(self, component: Component, target: Target) -> int:
        """The size of an engine's file."""
        if target.backend is Backend.CPU:
            return 0
        fixed = _ENGINE_FIXED_BYTES * self._profiles(component)
        return self.graph_bytes(component, target.dialect) + fixed
