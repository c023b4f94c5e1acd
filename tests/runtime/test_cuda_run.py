"""A CUDA engine's run without a GPU: what one does in its stream happens here at once, on the processor."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mixdq.configs.bundle import Component, EngineRecord, FileRecord, TensorSpec
from mixdq.configs.errors import MachineError
from mixdq.runtime.cuda_engine import CudaEngine
from mixdq.runtime.engine import run_padded

SHAPE = (2, 3)


class Package:
    """Rounds to eight bits, says which rows are finite, and halves; its outputs stay where they were made."""

    def __init__(self) -> None:
        self.loader = self
        self.runs = 0
        self._inputs: list[Tensor] = []
        self._outputs: list[Tensor] = []

    def boxed_run(self, inputs: list[Tensor]) -> list[Tensor]:
        self._inputs, self._outputs = list(inputs), self._compute(inputs)
        inputs.clear()
        return list(self._outputs)

    def again(self) -> None:
        for output, value in zip(self._outputs, self._compute(self._inputs), strict=True):
            output.copy_(value)

    def _compute(self, inputs: list[Tensor]) -> list[Tensor]:
        self.runs += 1
        rows, term = inputs
        bytes_ = (rows.float() + term).nan_to_num().to(torch.uint8)
        return [bytes_, rows.isfinite().all(1), (rows / 2).t().contiguous().t()]


class Line:
    """A stream, always done; counts how often it was waited for."""

    waits = 0

    def wait_stream(self, _: Line) -> None: ...

    def synchronize(self) -> None:
        self.waits += 1


class Cuda:
    """torch.cuda, as far as an engine calls it."""

    OutOfMemoryError = torch.cuda.OutOfMemoryError

    def __init__(self, package: Package) -> None:
        self._package, self.own = package, Line()

    def Stream(self) -> Line:  # noqa: N802 (torch's name)
        return Line()

    def current_stream(self) -> Line:
        return self.own

    def stream(self, _: Line) -> AbstractContextManager[None]:
        return nullcontext()

    def synchronize(self) -> None: ...

    def CUDAGraph(self) -> Any:  # noqa: N802 (torch's name)
        return SimpleNamespace(replay=self._package.again)

    @contextmanager
    def graph(self, graph: Any, pool: Any) -> Iterator[None]:
        yield


class Torch:
    """torch whose GPU is the processor."""

    def __init__(self, package: Package) -> None:
        self.cuda = Cuda(package)

    def zeros(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: str) -> Tensor:
        assert device == "cuda"
        return torch.zeros(shape, dtype=dtype)

    def empty_like(self, tensor: Tensor, *, device: str, pin_memory: bool) -> Tensor:
        assert (device, pin_memory) == ("cpu", True)
        return torch.empty_like(tensor)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@pytest.fixture
def package() -> Package:
    return Package()


def _record() -> EngineRecord:
    return EngineRecord(
        component=Component.VAE_DECODER,
        target="cuda:sm90",
        resolution=16,
        file=FileRecord("vae.pt2", "0" * 64, 1),
        weights=(),
        builder="torch 2",
        built_for="any",
        inputs=(TensorSpec("rows", "float16", SHAPE), TensorSpec("term", "float32", ())),
        outputs=(
            TensorSpec("images", "uint8", SHAPE),
            TensorSpec("finite", "bool", SHAPE[:1]),
            TensorSpec("halves", "float16", SHAPE),
        ),
    )


@pytest.fixture
def engine(package: Package) -> CudaEngine:
    return CudaEngine(Torch(package), package, _record(), None, Lock())


class Unpinning(Torch):
    """torch on a host that can't pin memory."""

    def empty_like(self, tensor: Tensor, *, device: str, pin_memory: bool) -> Tensor:
        raise RuntimeError("CUDA error: out of memory")


def test_a_host_that_cannot_pin_memory_is_told(package: Package) -> None:
    with pytest.raises(MachineError, match=r"could not pin 0\.0 MiB of its memory.*ulimit -l"):
        CudaEngine(Unpinning(package), package, _record(), None, Lock())


def _inputs(first: float, term: float = 1.0) -> dict[str, np.ndarray]:
    rows = np.arange(first, first + 6, dtype=np.float16).reshape(SHAPE)
    return {"rows": rows, "term": np.asarray(np.float32(term))}


def _check(given: dict[str, np.ndarray], first: int, term: int) -> None:
    rows = np.arange(first, first + 6).reshape(SHAPE)
    assert {name: str(value.dtype) for name, value in given.items()} == {
        "images": "uint8",
        "finite": "bool",
        "halves": "float32",
    }
    np.testing.assert_array_equal(given["images"], rows + term)
    np.testing.assert_array_equal(given["halves"], rows / 2)
    assert given["finite"].all()


def test_each_run_computes_on_what_it_was_given_and_waits_once(engine: CudaEngine, package: Package) -> None:
    assert engine.outputs == []
    for count, first in enumerate((3, 40, 7), start=1):
        _check(engine.run(_inputs(first, term=count)), first, count)
        assert engine._torch.cuda.own.waits == count
    # Two warm-ups and the recording, then one replay a run.
    assert package.runs == 3 + 3
    assert [tuple(output.shape) for output in engine.outputs] == [SHAPE, SHAPE[:1], SHAPE]


def test_a_result_outlives_the_next_run(engine: CudaEngine) -> None:
    first = engine.run(_inputs(3))
    engine.run(_inputs(90))
    _check(first, 3, 1)


def test_threads_get_their_own_results(engine: CudaEngine) -> None:
    with ThreadPoolExecutor(8) as threads:
        runs = {first: threads.submit(engine.run, _inputs(first)) for first in range(100)}
        for first, run in runs.items():
            _check(run.result(), first, 1)


def test_what_is_not_finite_is_told_and_padding_is_dropped(engine: CudaEngine) -> None:
    rows = np.array([[1, np.nan, 3]], dtype=np.float32)
    given = run_padded(engine, {"rows": rows, "term": np.asarray(1.0)})
    assert {name: value.shape for name, value in given.items()} == {
        "images": (1, 3),
        "finite": (1,),
        "halves": (1, 3),
    }
    assert (given["finite"].tolist(), given["images"].tolist()) == ([False], [[2, 0, 4]])
    assert np.isnan(given["halves"]).tolist() == [[False, True, False]]


def test_a_forgotten_engine_holds_nothing(engine: CudaEngine) -> None:
    engine.run(_inputs(3))
    engine.forget()
    assert engine.outputs == []
