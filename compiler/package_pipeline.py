"""The stages of the CUDA back end: a package a resolution, and the constants that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixdq.compiler.builders import builder_facts
from mixdq.compiler.cuda.stage import (
    PackageOrder,
    PackagePiece,
    PackageRecord,
    make_constants,
    make_package,
    tiles_for,
)
from mixdq.compiler.needs import Needs
from mixdq.compiler.recipe import Recipe
from mixdq.compiler.records import Book
from mixdq.compiler.sources import code_digest
from mixdq.compiler.stages import Lane, Made, Results, Stage
from mixdq.compiler.worker import Call
from mixdq.configs.bundle import Component
from mixdq.configs.files import sha256_of_text
from mixdq.configs.target import Target
from mixdq.export.source import SourceModel

# What packages depend on, for `code_digest`.
_CODE = (
    *("mixdq.compiler.cuda", "mixdq.compiler.cuda.kernels"),
    *("mixdq.export.layers", "mixdq.export.modules", "mixdq.export.simulate"),
    *("mixdq.configs.form", "mixdq.configs.form_quantizer", "mixdq.configs.quantizer"),
    *("mixdq.configs.quantizing", "mixdq.configs.realized", "mixdq.configs.target"),
)


@dataclass(frozen=True, slots=True)
class Packages:
    """A component's packages of all resolutions, which share their constants.

    Attributes:
        component: the network.
        target: of the CUDA back end.
        sizes: resolutions in pixels; None for a package that serves all.
    """

    component: Component
    target: Target
    sizes: tuple[int | None, ...]

    def stage(self, size: int | None) -> str:
        """The name of the stage that compiles one."""
        return f"compile {self.component}{'' if size is None else f' {size}'} {self.target}"

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of those that compile them all."""
        return tuple(map(self.stage, self.sizes))

    @property
    def constants(self) -> str:
        """The name of the stage that writes the constants."""
        return f"constants {self.component} {self.target}"

    def pieces(self, done: Results) -> list[PackagePiece]:
        """What the bundle's entries are put together from."""
        return [
            PackagePiece(self.component, self.target, size, done[self.stage(size)], done[self.constants])
            for size in self.sizes
        ]


class PackageMaker:
    """Makes the stages of one recipe's packages."""

    def __init__(
        self,
        recipe: Recipe,
        source: SourceModel,
        out: Book,
        needs: Needs,
        torch_facts: Mapping[str, object],
    ) -> None:
        """Keeps what stages are made of.

        Args:
            recipe: what is made.
            source: the recipe's model.
            out: the folder of the bundle.
            needs: memory and disk of the stages.
            torch_facts: the libraries that networks are made with.
        """
        self._recipe, self._source, self._out = recipe, source, out
        self._needs, self._torch_facts = needs, torch_facts

    def package(self, packages: Packages, size: int | None) -> Stage:
        """The stage that compiles one of a component's packages."""
        call = Call(make_package, (self._order(packages, size),))
        return Stage(
            packages.stage(size),
            self._out,
            Lane.FRESH,
            _inputs(packages.component),
            lambda done: {**self._network_facts(packages, done), "resolution": size},
            lambda _: call,
            memory_mib=self._needs.package_mib(packages.component),
            disk_bytes=self._needs.package_bytes(),
        )

    def constants(self, packages: Packages) -> Stage:
        """The stage that writes what all of a component's packages need."""
        order = self._order(packages, packages.sizes[0])

        def facts(done: Results) -> Mapping[str, object]:
            made = [done[name].digests for name in packages.stages]
            return {**self._network_facts(packages, done), "packages": made}

        def call(done: Results) -> Call[Made]:
            return Call(make_constants, (order, [PackageRecord.of(done[name]) for name in packages.stages]))

        return Stage(
            packages.constants,
            self._out,
            Lane.FRESH,
            (*_inputs(packages.component), *packages.stages),
            facts,
            call,
            memory_mib=self._needs.constants_mib(packages.component),
            disk_bytes=self._needs.constants_bytes(packages.component),
        )

    def _order(self, packages: Packages, size: int | None) -> PackageOrder:
        recipe = self._recipe
        return PackageOrder(
            component=packages.component,
            target=packages.target,
            resolution=size,
            example=recipe.resolutions[0] if size is None else size,
            batch=recipe.batch,
            source=self._source,
            root=self._out.root,
            with_ranges=packages.component is Component.UNET,
            tiles=recipe.build.tiles,
        )

    def _network_facts(self, packages: Packages, done: Results) -> dict[str, object]:
        """What a network on the GPU and the code around it depend on."""
        builder = builder_facts(packages.target)
        quantized = packages.component is Component.UNET
        return {
            **self._torch_facts,
            "model": self._source.identity.digest,
            "batch": self._recipe.batch,
            "quantized": [done[name].value for name in _inputs(packages.component) if quantized],
            "builder": builder,
            "tiles": sha256_of_text(tiles_for(self._recipe.build.tiles, builder["for"]).to_json()),
            "code": code_digest(*_CODE),
        }


def _inputs(component: Component) -> tuple[str, ...]:
    return ("plan", "ranges") if component is Component.UNET else ("plan",)
