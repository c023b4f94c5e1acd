"""Devices that are not there, and memory that is not enough, are one error each."""

import pytest
import torch

from mixdq.configs.errors import MachineError, TargetError
from mixdq.export.device import device_words, find_device, gpu_memory


def test_the_cpu_is_always_there() -> None:
    assert find_device("cpu") == device_words("cpu") == "cpu"


def test_another_name_is_refused() -> None:
    with pytest.raises(TargetError, match="--device is one of cpu, cuda, not 'tpu'"):
        find_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_the_cpu_is_the_choice_and_cuda_an_error() -> None:
    assert find_device(None) == "cpu"
    with pytest.raises(TargetError, match="finds no CUDA device here; use --device cpu"):
        find_device("cuda")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_gpu_without_memory_left_says_what_to_do(error: RuntimeError) -> None:
    with pytest.raises(MachineError, match=r"ran out \(CUDA [^.]*\); use less"), gpu_memory("use less"):
        raise error


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(RuntimeError, match="shapes"), gpu_memory("use less"):
        raise RuntimeError("shapes")
