import errno

import pytest
import typer

from mixdq.configs.console import run_app
from mixdq.configs.errors import PlanError


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
    assert error.startswith("error: could not write unet.onnx: No space left on device")
    assert error.count("\n") == 1


def test_an_interrupt_is_exit_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(KeyboardInterrupt()) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_wrong_option_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(None, ("--number", "many")) == 2
    assert "--number" in capsys.readouterr().err


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @app.command()
    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_app(app, [])
