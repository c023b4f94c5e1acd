"""Measuring in ONNX Runtime on the CPU, with the sessions' options of `mixdq.runtime`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from mixdq.compiler.tune.engines import EngineFile
from mixdq.compiler.tune.instrument import Array, InTurns, KernelRun, Runs, fed, turns
from mixdq.compiler.worker import Report
from mixdq.configs.errors import EvaluationError, GraphError
from mixdq.configs.layers import LayerTable
from mixdq.configs.machine import installed_versions
from mixdq.configs.target import ORT_DISABLED_OPTIMIZERS, ORT_EXACT_PRODUCTS, ORT_NO_SPINNING

if TYPE_CHECKING:
    import onnxruntime

_ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True)
class OrtInstrument:
    """See `Instrument`.

    Attributes:
        threads: of a run; None for one a physical core, as in the runtime.
    """

    threads: int | None

    def in_turns(
        self,
        report: Report,
        engines: tuple[EngineFile, EngineFile],
        inputs: Mapping[str, Array],
        table: LayerTable,
        runs: Runs,
    ) -> InTurns:
        """Without the profiler first, then with it: two sessions are open at a time."""
        arrays = tuple(fed(engine, inputs) for engine in engines)
        sessions = [self._session(engine.file, None) for engine in engines]
        whole = self._whole(report, sessions, arrays, runs)
        del sessions
        with tempfile.TemporaryDirectory(prefix="mixdq-tune-") as folder:
            profiled = [
                self._session(engine.file, Path(folder) / str(number))
                for number, engine in enumerate(engines)
            ]
            for done, order in enumerate(turns(runs.warmup + runs.repeats)):
                report("layer by layer", done, runs.warmup + runs.repeats)
                for number in order:
                    profiled[number].run(None, arrays[number])
            profiles = [json.loads(Path(session.end_profiling()).read_text()) for session in profiled]
        first, second = (
            _kernels(engine, events, table)[runs.warmup :]
            for engine, events in zip(engines, profiles, strict=True)
        )
        return InTurns(whole, (first, second))

    def outputs(self, engine: EngineFile, batches: Sequence[Mapping[str, Array]]) -> list[Array]:
        """See `Instrument`."""
        session = self._session(engine.file, None)
        return [session.run(None, fed(engine, batch))[0].astype("float32") for batch in batches]

    def describe(self) -> Mapping[str, str]:
        """See `Instrument`."""
        versions = installed_versions("onnxruntime", "onnxruntime-gpu")
        return {**versions, "threads": "one a core" if self.threads is None else str(self.threads)}

    def _whole(
        self,
        report: Report,
        sessions: Sequence[onnxruntime.InferenceSession],
        arrays: Sequence[dict[str, Array]],
        runs: Runs,
    ) -> tuple[Sequence[float], Sequence[float]]:
        spent: tuple[list[float], list[float]] = ([], [])
        for done, order in enumerate(turns(runs.warmup + runs.repeats)):
            report("whole runs", done, runs.warmup + runs.repeats)
            for number in order:
                start = perf_counter()
                sessions[number].run(None, arrays[number])
                spent[number].append((perf_counter() - start) * 1e6)
        return spent[0][runs.warmup :], spent[1][runs.warmup :]

    def _session(self, graph: Path, profile: Path | None) -> onnxruntime.InferenceSession:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.add_session_config_entry(*ORT_NO_SPINNING)
        options.add_session_config_entry(*ORT_EXACT_PRODUCTS)
        if self.threads is not None:
            options.intra_op_num_threads = self.threads
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile)
        try:
            return ort.InferenceSession(
                graph,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=list(ORT_DISABLED_OPTIMIZERS),
            )
        except Exception as error:  # ONNX Runtime's exceptions share no base but this one
            raise GraphError(f"ONNX Runtime {ort.__version__} refused {graph.name}: {error}") from error


def _kernels(engine: EngineFile, events: Sequence[Mapping[str, Any]], table: LayerTable) -> list[KernelRun]:
    import onnx

    from mixdq.compiler.tune.kernel_owners import KernelOwners
    from mixdq.compiler.tune.ort_profile import kernel_runs

    graph = onnx.load(engine.graph, load_external_data=False).graph
    found = kernel_runs(events, KernelOwners(graph, list(table.by_name)))
    if lost := [layer.name for layer in table if layer.name not in found[0].layers]:
        raise EvaluationError(
            f"ONNX Runtime's profile of {engine.graph.name} names no kernel of {lost[0]} (of {len(lost)} "
            "layers): it fused them into others under new names, so that layers can't be told apart"
        )
    return found
