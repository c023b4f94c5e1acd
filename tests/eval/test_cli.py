import subprocess
import sys
from pathlib import Path

import pytest

from mixdq.configs.console import run_app
from mixdq.eval.cli import app


def test_a_model_that_does_not_exist_is_one_clear_line_and_exit_code_2(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_app(app, ["demo", "--model", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")])
    error = capfd.readouterr().err
    assert ended.value.code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "nowhere" in error


def test_help_does_not_import_the_compiler_s_libraries() -> None:
    program = (
        "import sys\nfrom mixdq.eval.cli import app\n"
        "try:\n    app(['demo', '--help'])\nexcept SystemExit as ended:\n    assert ended.code == 0\n"
        "sys.exit('torch imported' if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "samples.png" in done.stdout
