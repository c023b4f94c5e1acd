"""Ahead of time: a module becomes an AOTInductor package that holds code only."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mixdq.compiler.cuda.cpp_library import check_linked, package_compiler
from mixdq.compiler.cuda.declarations import writers_kept
from mixdq.compiler.cuda.mutations import mutations_found_once
from mixdq.configs.errors import GraphError
from mixdq.configs.files import writing

_SUFFIX = ".pt2"  # torch writes and reads packages of this name alone
_SOURCE = ".wrapper.cpp"  # torch's name of the program between the kernels
_SHOWN = 800  # characters of what a compiler said
_CONSTANT = re.compile(r'^\s*constants_info_\[\d+\]\.original_fqn = "([^"]*)";$', re.MULTILINE)
_OPTIONS: Mapping[str, Any] = {
    # Constants are handed over when a package is loaded: once for all packages of a component.
    "aot_inductor.package_constants_in_so": False,
    # Small tensors, scales above all, would become numbers in the code.
    "always_keep_tensor_constants": True,
    # What the compiled program does between kernels is done once, when its graph is recorded.
    "aot_inductor.compile_wrapper_opt_level": "O0",
}


def compile_package(module: nn.Module, inputs: Sequence[Tensor], path: Path) -> tuple[Tensor, ...]:
    """Compiles a module for fixed sizes and writes the package.

    Args:
        module: in evaluation mode, on the device that it is compiled for.
        inputs: examples of its inputs, in the order of its parameters.
        path: the package to write, named `.pt2`.

    Returns:
        What its outputs are like: tensors without values.

    Raises:
        GraphError: it can't be traced or compiled, or makes a tensor of its own.
        TargetError: the C++ compiler makes packages that would crash.
        StorageError: the disk is full or the folder can't be written.
    """
    assert path.suffix == _SUFFIX, path
    with torch.no_grad(), _quiet(), mutations_found_once(), writers_kept():
        options = {**_OPTIONS, "cpp.cxx": (None, package_compiler())}
        try:
            exported = torch.export.export(module, tuple(inputs), strict=False)
            with writing(path) as temporary:
                named = temporary.with_suffix(_SUFFIX)
                torch._inductor.aoti_compile_and_package(
                    exported, package_path=str(named), inductor_configs=options
                )
                named.replace(temporary)
                check_linked(temporary, path.name)
                constants_of(module, temporary, path.name)  # or says what it lacks, before the file is there
        except torch.cuda.OutOfMemoryError:
            raise
        except (torch._dynamo.exc.TorchDynamoException, RuntimeError, AssertionError) as error:
            raise GraphError(
                f"torch could not compile {path.name}: {compilers_reason(str(error))}"
            ) from error
    outputs = exported.graph_module.graph.output_node().args[0]
    return tuple(node.meta["val"] for node in outputs)


def needed_constants(path: Path) -> tuple[str, ...]:
    """The names of the tensors that a package needs when it is loaded, in order.

    They are read from the source that torch keeps beside the code: nothing is loaded into this process.

    Raises:
        GraphError: no source is in it.
    """
    with zipfile.ZipFile(path) as archive:
        sources = [name for name in archive.namelist() if name.endswith(_SOURCE)]
        if len(sources) != 1:
            raise GraphError(
                f"{path.name} has {len(sources)} files *{_SOURCE}, expected 1; torch {torch.__version__} "
                "writes packages of another kind"
            )
        return tuple(sorted(_CONSTANT.findall(archive.read(sources[0]).decode())))


def constants_of(module: nn.Module, package: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a module that its package needs when it is loaded, by the package's names for them.

    Args:
        module: what was compiled, or another made as it was.
        package: the file.
        name: what an error calls it.

    Raises:
        GraphError: the package needs what the module does not hold.
    """
    names = needed_constants(package)
    own = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    if foreign := sorted(set(names) - set(own)):
        raise GraphError(
            f"{name} needs {foreign[0]}, a tensor that its network does not hold but makes as it runs; "
            "register it as a buffer"
        )
    return {name: own[name] for name in names}


def compilers_reason(text: str) -> str:
    """What a C++ compiler calls an error; of anything else the beginning and the end, where reasons stand."""
    if errors := [line.strip() for line in text.splitlines() if ": error:" in line]:
        return "; ".join(errors)[:_SHOWN]
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} … {text[-_SHOWN // 2 :]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what torch says of its own internals."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
