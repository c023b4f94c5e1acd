import hashlib
import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mixdq.configs.errors import EvaluationError
from mixdq.eval.scorers.stored_weights import read_weights

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}
WHERE = "get them at the library"


def test_safetensors_and_torch_files_give_the_same_tensors(tmp_path: Path) -> None:
    safe, pickled = tmp_path / "a.safetensors", tmp_path / "a.pt"
    save_file(TENSORS, safe)
    torch.save(TENSORS, pickled)
    for path in (safe, pickled):
        read = read_weights(path, WHERE)
        assert set(read.tensors) == set(TENSORS)
        assert all(torch.equal(read.tensors[name], tensor) for name, tensor in TENSORS.items())
        assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_training_checkpoint_gives_its_state_dict_without_the_prefix_of_parallel_training(
    tmp_path: Path,
) -> None:
    path = tmp_path / "epoch_32.pt"
    torch.save({"epoch": 32, "state_dict": {f"module.{name}": t for name, t in TENSORS.items()}}, path)
    assert set(read_weights(path, WHERE).tensors) == set(TENSORS)


def test_a_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"none\.pt is no file of weights; get them at the library"):
        read_weights(tmp_path / "none.pt", WHERE)


@pytest.mark.parametrize("by_torch", [True, False])
def test_a_pickle_that_runs_code_is_not_opened(tmp_path: Path, by_torch: bool) -> None:
    ran, path = tmp_path / "ran", tmp_path / "evil.pt"
    if by_torch:
        torch.save({"a": _Evil(str(ran))}, path)
    else:
        path.write_bytes(pickle.dumps(_Evil(str(ran))))
    with pytest.raises(EvaluationError, match="may run any code, so it is not opened"):
        read_weights(path, WHERE)
    assert not ran.exists()


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pt"])
def test_a_cut_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".pt":
        torch.save(TENSORS, path)
    else:
        save_file(TENSORS, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(EvaluationError, match="get them at the library"):
        read_weights(path, WHERE)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "found an empty file; download"),
        (b"not weights at all", r"begins with b'not weights at a'; download"),
        (b"hello", "begins with b'hello'; download"),
        (b"\x89PNG\r\n", "begins with b'.x89PNG.r.n'; download"),
        (b"j\xa5\x81k\x0a.", "begins with .*; download"),  # KeyError: a number that says nothing
        (b"0", "begins with b'0'; download"),  # IndexError
    ],
)
def test_a_file_of_something_else_is_refused_with_what_was_expected(
    tmp_path: Path, content: bytes, found: str
) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    expected = f"expected a .safetensors file or one that torch.save wrote, found .*{WHERE}"
    with pytest.raises(EvaluationError, match=expected) as refused:
        read_weights(path, WHERE)
    assert re.search(found, str(refused.value))


def test_numbers_that_are_no_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"a": 1, "b": 2.5}, path)
    with pytest.raises(
        EvaluationError, match=r"no tensors by name but a dictionary with a \(int\), b \(float\)"
    ):
        read_weights(path, WHERE)


def test_the_digest_in_a_files_name_is_checked(tmp_path: Path) -> None:
    plain = tmp_path / "a.pt"
    torch.save(TENSORS, plain)
    digest = hashlib.sha256(plain.read_bytes()).hexdigest()
    right, wrong = tmp_path / f"alexnet-owt-{digest[:8]}.pth", tmp_path / "alexnet-owt-7be5be79.pth"
    for path in (right, wrong):
        path.write_bytes(plain.read_bytes())
    assert read_weights(right, WHERE).sha256 == digest
    with pytest.raises(EvaluationError, match=f"begins with {digest[:8]}, and its name says 7be5be79"):
        read_weights(wrong, WHERE)


class _Evil:
    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.mark, "w")
