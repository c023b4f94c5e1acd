"""Memory, streams and graphs on a CUDA GPU; TensorRT is not needed."""

from __future__ import annotations

import numpy as np
import pytest

from mixdq.configs.bundle import TensorSpec
from mixdq.configs.errors import MachineError
from mixdq.configs.gpu import find_gpu
from mixdq.runtime.cuda_api import free_and_total_bytes
from mixdq.runtime.cuda_memory import Buffer, PinnedArray
from mixdq.runtime.cuda_stream import Stream
from mixdq.runtime.device_program import Workspace

MIB = 1 << 20
SPEC = TensorSpec("x", "float32", (3, 5))


def _values(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SPEC.shape, dtype=np.float32)


def test_an_array_goes_to_the_gpu_and_back(workspace: Workspace) -> None:
    stream = workspace.stream
    with PinnedArray(SPEC) as there, PinnedArray(SPEC) as back, Buffer(there.array.nbytes) as buffer:
        assert not back.array.any()
        there.array[:] = _values(0)
        stream.copy_to_device(buffer.address, there.address, buffer.size)
        stream.copy_to_host(back.address, buffer.address, buffer.size)
        stream.synchronize()
        np.testing.assert_array_equal(back.array, _values(0))
        assert buffer.address % 256 == 0


def test_a_scalar_and_an_empty_array_have_memory(workspace: Workspace) -> None:
    with PinnedArray(TensorSpec("t", "float16", ())) as scalar:
        scalar.array[()] = 999
        assert scalar.array == np.float16(999)
    with PinnedArray(TensorSpec("none", "int64", (0, 4))) as empty, Buffer(0) as buffer:
        assert (empty.array.shape, buffer.address > 0) == ((0, 4), True)


def test_a_graph_repeats_what_was_recorded_on_what_the_memory_then_holds(workspace: Workspace) -> None:
    stream = workspace.stream
    with PinnedArray(SPEC) as there, PinnedArray(SPEC) as back, Buffer(there.array.nbytes) as buffer:

        def round_trip() -> None:
            stream.copy_to_device(buffer.address, there.address, buffer.size)
            stream.copy_to_host(back.address, buffer.address, buffer.size)

        there.array[:] = _values(0)
        with stream.capture(round_trip) as graph:
            stream.synchronize()
            assert not back.array.any(), "recording must not compute"
            for seed in (1, 2):
                there.array[:] = _values(seed)
                graph.launch()
                stream.synchronize()
                np.testing.assert_array_equal(back.array, _values(seed))


def test_a_recording_that_fails_leaves_the_stream_in_order(workspace: Workspace) -> None:
    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        workspace.stream.capture(fails)
    with workspace.stream.capture(lambda: None) as graph:
        graph.launch()
    workspace.stream.synchronize()


def test_closing_gives_the_memory_back_and_may_be_repeated(workspace: Workspace) -> None:
    before, _ = free_and_total_bytes()
    buffer = Buffer(512 * MIB)
    during, _ = free_and_total_bytes()
    buffer.close()
    buffer.close()
    after, _ = free_and_total_bytes()
    assert before - during >= 512 * MIB
    assert abs(before - after) < 64 * MIB


def test_a_forgotten_buffer_is_given_back(workspace: Workspace) -> None:
    before, _ = free_and_total_bytes()
    buffer = Buffer(512 * MIB)
    del buffer
    after, _ = free_and_total_bytes()
    assert abs(before - after) < 64 * MIB


def test_more_than_the_gpu_has_is_one_error_that_says_how_much_there_is(workspace: Workspace) -> None:
    with pytest.raises(MachineError, match=r"could not allocate 16777216 MiB .* of its \d+ MiB are free"):
        Buffer(16 * MIB * MIB)
    with Buffer(MIB) as still_works:
        assert still_works.address


def test_scratch_is_as_large_as_the_largest_need_and_moves_only_to_grow(workspace: Workspace) -> None:
    small = workspace.scratch.reserve(MIB)
    assert workspace.scratch.reserve(MIB // 2) is small
    large = workspace.scratch.reserve(4 * MIB)
    assert (large.size, workspace.scratch.reserve(MIB)) == (4 * MIB, large)


@pytest.mark.skipif(find_gpu() is not None, reason="this machine has a GPU")
def test_without_a_gpu_a_stream_is_refused_in_cuda_s_words() -> None:
    pytest.importorskip("cuda.bindings.runtime")
    with pytest.raises(
        MachineError, match=r"CUDA could not make a stream: .*\(error \d+\); see `nvidia-smi`"
    ):
        Stream()
