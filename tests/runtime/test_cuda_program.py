"""A network's run on a CUDA GPU without TensorRT: a kernel of five lines stands for the network."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from mixdq.configs.bundle import Component, EngineRecord, FileRecord, TensorSpec
from mixdq.runtime.device_program import DeviceProgram, Workspace

COUNT = 1024
SHAPE = (4, COUNT // 4)
# It adds through the scratch memory, so that a wrong address or an overlap shows in the result.
SOURCE = b"""
extern "C" __global__ void add(const float* x, float* scratch, float* y, float term, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) { scratch[i] = x[i] + term; y[i] = scratch[i]; }
}"""


def _record() -> EngineRecord:
    file = FileRecord("kernel", "0" * 64, 1)
    x, y = TensorSpec("x", "float32", SHAPE), TensorSpec("y", "float32", SHAPE)
    return EngineRecord(Component.UNET, "cpu", None, file, (), "nvrtc 1", "any", (x,), (y,))


def _value(result: tuple[Any, ...]) -> Any:
    error, *values = result
    assert int(error) == 0, error
    return values[0] if values else None


@pytest.fixture
def kernel(workspace: Workspace) -> Any:
    from cuda.bindings import driver, nvrtc

    program = _value(nvrtc.nvrtcCreateProgram(SOURCE, b"add.cu", 0, [], []))
    _value(nvrtc.nvrtcCompileProgram(program, 1, [b"--gpu-architecture=compute_80"]))
    text = b" " * _value(nvrtc.nvrtcGetPTXSize(program))
    _value(nvrtc.nvrtcGetPTX(program, text))
    image = ctypes.create_string_buffer(text)
    module = _value(driver.cuModuleLoadData(ctypes.addressof(image)))
    return _value(driver.cuModuleGetFunction(module, b"add"))


class Network:
    """Adds `term`, in scratch memory of its own size; keeps what it was told."""

    def __init__(self, workspace: Workspace, kernel: Any, term: float, scratch_bytes: int) -> None:
        self._kernel, self._term = kernel, term
        self.bound: list[int] = []
        self.enqueued = 0
        self.program = DeviceProgram(
            workspace,
            _record(),
            scratch_bytes=scratch_bytes,
            bind=self._bind,
            enqueue=self._enqueue,
            capturable=lambda stream: True,
        )

    def _bind(self, address: int, size: int) -> None:
        self.bound.append(address)

    def _enqueue(self, stream: int) -> None:
        from cuda.bindings import driver

        self.enqueued += 1
        where = self.program.addresses
        values = (where["x"], self.bound[-1], where["y"], self._term, COUNT)
        types = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_float, ctypes.c_int)
        grid, block = (COUNT // 256, 1, 1), (256, 1, 1)
        _value(driver.cuLaunchKernel(self._kernel, *grid, *block, 0, stream, (values, types), 0))


Make = Callable[..., Network]


@pytest.fixture
def make(workspace: Workspace, kernel: Any) -> Make:
    return lambda term, scratch_bytes=4 * COUNT: Network(workspace, kernel, term, scratch_bytes)


def _input(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE, dtype=np.float32)


def _check(network: Network, term: float, seed: int) -> None:
    given = network.program.run({"x": _input(seed)})
    np.testing.assert_array_equal(given["y"], _input(seed) + np.float32(term))


def test_the_first_run_warms_up_and_records_and_later_ones_only_replay(make: Make) -> None:
    network = make(1.5)
    with network.program:
        for seed in range(4):
            _check(network, 1.5, seed)
        assert network.program.recorded
        assert (network.enqueued, len(network.bound)) == (2, 1)


def test_networks_take_turns_in_one_scratch_memory(make: Make, workspace: Workspace) -> None:
    one, other = make(1.0), make(2.0)
    with one.program, other.program:
        for seed in range(3):
            _check(one, 1.0, seed)
            _check(other, 2.0, seed)
        assert one.bound == other.bound == [workspace.scratch.reserve(0).address]


def test_a_network_that_needs_more_scratch_makes_the_others_record_again(make: Make) -> None:
    small, large = make(1.0), make(2.0, scratch_bytes=256 << 20)
    with small.program, large.program:
        _check(small, 1.0, 0)
        _check(large, 2.0, 1)
        _check(small, 1.0, 2)
        assert small.bound[-1] == large.bound[-1]
        _check(large, 2.0, 3)
        assert large.enqueued == 2


def test_a_result_outlives_the_next_run(make: Make) -> None:
    network = make(0.5)
    with network.program:
        first = network.program.run({"x": _input(0)})["y"]
        network.program.run({"x": _input(1)})
        np.testing.assert_array_equal(first, _input(0) + np.float32(0.5))


def test_threads_that_share_a_stream_get_their_own_results(make: Make) -> None:
    networks = {1.0: make(1.0), 2.0: make(2.0), 3.0: make(3.0, scratch_bytes=64 << 20)}
    with ThreadPoolExecutor(8) as threads:
        waits = [
            threads.submit(_check, networks[term], term, seed) for seed in range(50) for term in networks
        ]
        for wait in waits:
            wait.result()
    for network in networks.values():
        network.program.close()


def test_what_cannot_be_recorded_runs_all_the_same(workspace: Workspace, make: Make) -> None:
    network = make(1.0)
    network.program._capturable = lambda stream: False
    with network.program:
        for seed in range(3):
            _check(network, 1.0, seed)
        assert not network.program.recorded


def test_a_closed_program_is_closed_once(make: Make) -> None:
    network = make(1.0)
    _check(network, 1.0, 0)
    network.program.close()
    network.program.close()
