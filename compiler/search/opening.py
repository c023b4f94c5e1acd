"""On what plans are judged, of the options that say it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler import options as o
from mixdq.compiler.progress import child_on_terminal
from mixdq.compiler.recipe import Calibration, read_prompts
from mixdq.compiler.search.judging import JudgeOrder, check_prompts
from mixdq.compiler.torch_stages import CalibrationOrder, find_layers
from mixdq.configs.errors import RequestError
from mixdq.configs.layers import LayerTable
from mixdq.configs.presets import preset_for
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Target
from mixdq.export.source import SourceModel


@dataclass(frozen=True, slots=True)
class JudgeWords:
    """The options that say on what plans are judged, as they were given; None for the usual."""

    prompts: Path | None
    prompt_count: int
    seed: int
    resolution: int | None
    ranges: Path | None
    target: str
    device: str | None
    batch: int | None
    restart: bool

    def order(self, source: SourceModel, out: Path) -> JudgeOrder:
        """What the child process is asked for; lists the model's layers.

        Raises:
            RequestError: fewer prompts than tell plans apart, a seed, resolution or batch out of bounds.
            ModelError: a file that holds fewer prompts than asked for.
            DigestError: ranges of another model.
            TargetError: no such target.
        """
        file = self.prompts or preset_for(source.identity.name).prompts_file
        # Calibration's bounds of the seed hold here, too.
        asked = Calibration(read_prompts(file, self.prompt_count), self.seed)
        check_prompts(asked.prompts)
        if self.batch is not None and self.batch < 1:
            raise RequestError(f"--batch {self.batch} is no number of prompts; use at least 1")
        resolution = self._resolution(source)
        source.check_resolution(resolution)
        dialect = Target.parse(self.target).dialect
        given = None if self.ranges is None else RangeTable.read(self.ranges)
        table: LayerTable = child_on_terminal("layers", find_layers, source, (resolution,)).value
        if given is not None:
            given.check(table)
        return JudgeOrder(
            source=source,
            table=table,
            ranges=self._calibration(source) if given is None else given,
            prompts=asked.prompts,
            seed=asked.seed,
            resolution=resolution,
            dialect=dialect,
            device=self.device,
            batch=self.batch,
            out=out,
            restart=self.restart,
        )

    def _resolution(self, source: SourceModel) -> int:
        if self.resolution is not None:
            return self.resolution
        return min(preset_for(source.identity.name).calibration_resolutions or source.resolutions)

    def _calibration(self, source: SourceModel) -> CalibrationOrder:
        """As `run` calibrates, so that a plan is judged with the ranges that it will be compiled with."""
        usual = o.calibration_of(source, None, None, None, None, None)
        resolutions = usual.resolutions or source.resolutions
        return CalibrationOrder(source, usual.prompts, usual.seed, resolutions, usual.steps)
