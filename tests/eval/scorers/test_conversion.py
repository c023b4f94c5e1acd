from pathlib import Path

import pytest
import torch
from torch import nn

from mixdq.configs.errors import EvaluationError
from mixdq.eval.scorers.conversion import Origin, fill
from mixdq.eval.scorers.stored_weights import StoredWeights


def _stored(**tensors: torch.Tensor) -> StoredWeights:
    return StoredWeights(
        Path("weights.pt"), "0" * 64, {k.replace("_dot_", "."): t for k, t in tensors.items()}
    )


def _empty(layers: int = 1) -> nn.Module:
    with torch.device("meta"):
        return nn.Sequential(*(nn.Linear(3, 2) for _ in range(layers)))


def _fill(module: nn.Module, stored: StoredWeights) -> None:
    fill(module, stored, Origin, lambda name: name.startswith("unused."), "download them")


def test_a_module_computes_with_the_stored_tensors() -> None:
    module = _empty()
    weight, bias = torch.arange(6.0).view(2, 3), torch.tensor([1.0, 2.0])
    _fill(module, _stored(**{"0.weight": weight, "0.bias": bias, "unused.x": torch.ones(4)}))
    # (0, 1, 2) and (3, 4, 5) times (1, 1, 1), plus the bias
    assert module(torch.ones(1, 3)).tolist() == [[4.0, 14.0]]
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_half_precision_becomes_full() -> None:
    module = _empty()
    _fill(module, _stored(**{"0.weight": torch.ones(2, 3).half(), "0.bias": torch.ones(2).half()}))
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}


def test_missing_unknown_and_wrong_tensors_are_named() -> None:
    stored = _stored(**{"0.weight": torch.ones(3, 2), "head.weight": torch.ones(1)})
    with pytest.raises(EvaluationError) as caught:
        _fill(_empty(), stored)
    message = str(caught.value)
    assert "missing 0.bias (1 in all)" in message
    assert "unknown head.weight (1 in all)" in message
    assert "wrongly shaped 0.weight [3, 2] instead of [2, 3] (1 in all)" in message
    assert message.endswith("download them")


def test_the_first_ten_missing_tensors_are_named() -> None:
    with pytest.raises(EvaluationError) as caught:
        _fill(_empty(layers=8), _stored())
    message = str(caught.value)
    assert "0.bias, 0.weight, 1.bias" in message
    assert "4.weight (16 in all)" in message
    assert "5.bias" not in message


def test_a_third_is_cut_out_of_the_stored_rows() -> None:
    origin = Origin("in_proj", third=1)
    assert origin.stored_shape((2, 4)) == (6, 4)
    assert origin.take(torch.arange(6.0)).tolist() == [2.0, 3.0]


def test_a_transposed_tensor_is_turned() -> None:
    origin = Origin("proj", transposed=True)
    assert origin.stored_shape((2, 3)) == (3, 2)
    assert origin.take(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist() == [[1.0, 3.0], [2.0, 4.0]]
