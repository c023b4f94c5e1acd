import errno
import os
import subprocess
import sys

import pytest
import typer

from mixdq.configs.console import run_app
from mixdq.configs.errors import PlanError, StoppedError


def _run(fault: BaseException | None, argv: tuple[str, ...] = ()) -> object:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @app.command()
    def command(number: int = 0) -> None:
        if fault is not None:
            raise fault

    with pytest.raises(SystemExit) as ended:
        run_app(app, argv)
    return ended.value.code


def test_success_is_exit_code_0_and_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(None) == 0
    assert capsys.readouterr().err == ""


def test_bad_input_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(PlanError("expected this,\n  found that")) == 2
    assert capsys.readouterr().err == "error: expected this, found that\n"


def test_a_full_disk_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(OSError(errno.ENOSPC, "No space left on device", "unet.onnx")) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: could not read or write unet.onnx: No space left on device; check ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ENAMETOOLONG]
)
def test_a_file_that_can_not_be_read_or_written_is_one_line_and_exit_code_2(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(OSError(number, os.strerror(number), "plan.yaml")) == 2
    assert capsys.readouterr().err == (
        f"error: could not read or write plan.yaml: {os.strerror(number)}; check the path, its permissions "
        "and the free space\n"
    )


def test_a_full_disk_is_one_line_even_where_the_file_has_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(OSError(errno.ENOSPC, "No space left on device")) == 2
    assert "could not read or write a file of the output folder: No space" in capsys.readouterr().err


@pytest.mark.parametrize(("library", "extra"), [("torch", "compile"), ("skimage", "eval")])
def test_a_library_that_an_extra_brings_is_one_line_and_exit_code_2(
    library: str, extra: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(ModuleNotFoundError(f"No module named {library!r}", name=library)) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: this command needs {library}, which is not installed here; ")
    assert error.endswith(f"`pip install 'mixdq[{extra}]'`\n")


def test_an_interrupt_is_exit_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(KeyboardInterrupt()) == 130
    assert "interrupted" in capsys.readouterr().err


def test_an_interrupt_that_says_what_it_leaves_is_exit_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(StoppedError("stopped; begins anew")) == 130
    assert capsys.readouterr().err == "error: stopped; begins anew\n"


def test_a_wrong_option_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(None, ("--number", "many")) == 2
    assert "--number" in capsys.readouterr().err


@pytest.mark.parametrize(
    "fault",
    [
        ZeroDivisionError(),
        OSError(errno.EBADF, "Bad file descriptor"),
        ModuleNotFoundError("No module named 'mixdq.nowhere'", name="mixdq.nowhere"),
        ModuleNotFoundError("No module named 'torch.nowhere'", name="torch.nowhere"),
        ModuleNotFoundError("No module named 'nowhere'", name="nowhere"),
    ],
    ids=str,
)
def test_a_defect_of_ours_keeps_its_traceback(fault: Exception) -> None:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @app.command()
    def command() -> None:
        raise fault

    with pytest.raises(type(fault)) as raised:
        run_app(app, [])
    assert raised.value is fault


@pytest.mark.parametrize("argv", [("--number", "many"), ("--digit", "1"), ("--number",), ("stray",)])
def test_a_wrong_option_is_one_line_that_names_the_help_and_exit_code_2(
    argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(None, argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_a_commands_own_exit_code_is_the_processs() -> None:
    assert _run(typer.Exit(1)) == 1


@pytest.mark.parametrize("module", ["compiler", "eval", "runtime"])
def test_a_command_line_runs_as_a_module_too(module: str) -> None:
    command = [sys.executable, "-m", f"mixdq.{module}.cli", "--no-such-option"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "--no-such-option" in ended.stderr
