import pytest
import torch

from mixdq.configs.errors import EvaluationError, MachineError
from mixdq.eval.scorers.computing import check_device, check_pairs, computing, slices


def test_the_last_slice_is_as_short_as_it_has_to_be() -> None:
    assert list(slices(5, 2)) == [slice(0, 2), slice(2, 4), slice(4, 5)]


def test_memory_that_runs_out_asks_for_a_smaller_batch() -> None:
    with pytest.raises(MachineError, match="a batch smaller than 64"), computing("cpu", 64):
        torch.empty(1 << 60, dtype=torch.uint8)


def test_other_faults_of_torch_are_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="size"), computing("cpu", 1):
        torch.ones(2) + torch.ones(3)


def test_a_device_that_is_not_here_is_refused() -> None:
    with pytest.raises(MachineError, match="torch can't compute on 'abacus' here"):
        check_device("abacus", 1)


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(EvaluationError, match="a batch of 0 pictures"):
        check_device("cpu", 0)


@pytest.mark.parametrize("counts", [(2, 3), (0, 0)])
def test_each_picture_needs_a_prompt(counts: tuple[int, int]) -> None:
    with pytest.raises(EvaluationError, match="each picture needs its own prompt"):
        check_pairs(*counts)
