"""Packages: code without constants, which several of them share where they are."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mixdq.compiler.cuda.constants import write_constants
from mixdq.compiler.cuda.package import compile_package, compilers_reason, constants_of, needed_constants
from mixdq.configs.errors import BundleError, GraphError
from mixdq.runtime.cuda_engine import load_package
from mixdq.runtime.mapped_constants import map_constants


class Scaled(nn.Module):
    """A product and a scale of one value, which a compiler would rather write into its code."""

    weight: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.arange(8.0).reshape(2, 4))
        self.register_buffer("scale", torch.tensor([0.5]))

    def forward(self, rows: Tensor) -> Tensor:
        return rows @ self.weight.T * self.scale


class Branching(nn.Module):
    def forward(self, rows: Tensor) -> Tensor:
        return rows if rows.sum() > 0 else -rows


def test_a_package_holds_code_and_computes_on_the_constants_that_it_is_given(tmp_path: Path) -> None:
    path, module = tmp_path / "scaled.pt2", Scaled().eval()
    outputs = compile_package(module, (torch.ones(3, 4),), path)
    assert needed_constants(path) == ("scale", "weight")
    own = constants_of(module, path, path.name)
    assert own["weight"].data_ptr() == module.weight.data_ptr()
    assert [tuple(output.shape) for output in outputs] == [(3, 2)]
    write_constants(tmp_path / "scaled.weights", own)

    constants = map_constants(torch, [tmp_path / "scaled.weights"], "cpu")
    loaded = load_package(torch, path, constants)
    rows = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(loaded.loader.boxed_run([rows])[0], module(rows))
    # The constants are the caller's, not copies of them, and none became a number in the code.
    constants["scale"].fill_(2.0)
    assert torch.allclose(loaded.loader.boxed_run([rows])[0], 4 * module(rows))

    with pytest.raises(BundleError, match=r"needs weight .of 1 tensors."):
        load_package(torch, path, {"scale": constants["scale"]})


def test_the_names_that_a_package_tells_are_those_that_it_needs_when_loaded(tmp_path: Path) -> None:
    path = tmp_path / "scaled.pt2"
    compile_package(Scaled().eval(), (torch.ones(3, 4),), path)
    loader = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", True, 1, -1)
    assert needed_constants(path) == tuple(sorted(loader.get_constant_fqns()))


def test_a_package_without_its_source_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bare.pt2", "w") as archive:
        archive.writestr("bare/data/aotinductor/model/a.wrapper.so", b"")
    with pytest.raises(GraphError, match=r"bare\.pt2 has 0 files \*\.wrapper\.cpp"):
        needed_constants(tmp_path / "bare.pt2")


def test_what_torch_can_not_trace_is_said_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"could not compile branching\.pt2"):
        compile_package(Branching().eval(), (torch.ones(3),), tmp_path / "branching.pt2")
    assert list(tmp_path.iterdir()) == []


def test_of_what_a_c_compiler_says_the_errors_are_shown() -> None:
    said = "\n".join(
        ["C++ compile error", *["a.cpp:1:1: note: in a macro"] * 200, "a.cpp:7:3: error: 'b' was not"]
    )
    assert compilers_reason(said) == "a.cpp:7:3: error: 'b' was not"


def test_of_other_reasons_beginning_and_end_are_shown() -> None:
    assert compilers_reason("no room") == "no room"
    long = "first " + "x" * 5000 + " last"
    assert compilers_reason(long).startswith("first ")
    assert compilers_reason(long).endswith(" last")
    assert len(compilers_reason(long)) < 1000
