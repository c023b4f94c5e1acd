"""A journal of other code is refused only if the digest in its header sees all that decides the figures."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from mixdq.compiler import sources
from mixdq.compiler.sensitivity.code import JUDGING_CODE, MEASURING_CODE

DECISIVE = (
    "configs/clipping.py",
    "configs/form.py",
    "configs/form_quantizer.py",
    "configs/quantizer.py",
    "configs/quantizing.py",
    "configs/realized.py",
    "configs/sqnr.py",
    "export/fidelity.py",
    "export/one_step.py",
    "export/one_step_size.py",
    "export/reference.py",
    "export/repeatable.py",
    "export/simulate.py",
)


@pytest.mark.parametrize("modules", [MEASURING_CODE, JUDGING_CODE])
def test_every_module_is_there_once(modules: tuple[str, ...]) -> None:
    assert len(set(modules)) == len(modules)
    for module in modules:
        assert find_spec(module) is not None, module


@pytest.mark.parametrize(
    ("modules", "path"),
    [
        *((MEASURING_CODE, path) for path in (*DECISIVE, "export/sensitivity/meter.py")),
        *((JUDGING_CODE, path) for path in (*DECISIVE, "export/judge.py")),
    ],
)
def test_the_digest_changes_with_the_code(
    modules: tuple[str, ...], path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = sources.code_digest.__wrapped__  # the one that keeps no answers
    before, files = digest(*modules), sources._files
    assert digest(*modules) == before

    def with_a_change(module: str) -> list[Path]:
        return [_changed(file, tmp_path) if str(file).endswith(path) else file for file in files(module)]

    monkeypatch.setattr(sources, "_files", with_a_change)
    assert digest(*modules) != before


def _changed(file: Path, folder: Path) -> Path:
    copy = folder / file.name
    copy.write_bytes(file.read_bytes() + b"# changed\n")
    return copy
