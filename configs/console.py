"""How every command of mixdq ends: errors as one line, exit codes that shells expect."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer
from rich.console import Console

from mixdq.configs.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, MixdqError, StoppedError
from mixdq.configs.extras import missing_extra

# Writing to a file that is open gives an error without the file's name.
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Typer names this class in no public place.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
_INTERRUPTED = "interrupted; nothing half-written was left, and the same command resumes"


_WIDTH_OF_A_FILE = 200
"""Columns of a table that is written into a file or a pipe: rich takes 80 there and cuts names."""


def stdout_console() -> Console:
    """The console for results, as wide as the terminal, or as `COLUMNS` says."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    # Square brackets are ours and the users': `mixdq[rtx]`, a prompt.
    return Console(width=None if known else _WIDTH_OF_A_FILE, markup=False)


def run_app(app: typer.Typer, argv: Sequence[str] | None = None) -> NoReturn:
    """Runs a command line and exits the process.

    Exit codes: 0 after success; 2 after bad input (a `MixdqError`, a wrong option, a library that an extra
    brings, or a file that can't be read or written), with one line on stderr that begins with `error:`; 130
    after Ctrl-C; what a command exits with. Anything else is a defect and keeps its traceback.

    Args:
        app: the commands.
        argv: the arguments without the program's name; None for those of this process.
    """
    try:
        code = app(None if argv is None else list(argv), standalone_mode=False)
    except _UsageError as error:
        _fail_usage(error)
    except StoppedError as error:
        _fail(str(error), EXIT_INTERRUPTED)
    except MixdqError as error:
        _fail(str(error), EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        _fail(_INTERRUPTED, EXIT_INTERRUPTED)
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        _fail(str(missing), EXIT_BAD_INPUT)
    except OSError as error:
        if error.filename is None and error.errno not in _FULL_DISK:
            raise
        place = error.filename or "a file of the output folder"
        _fail(
            f"could not read or write {place}: {error.strerror}; check the path, its permissions and the "
            "free space",
            EXIT_BAD_INPUT,
        )
    # Typer gives an exit code back, Ctrl-C's too, without a word.
    if code == EXIT_INTERRUPTED:
        _fail(_INTERRUPTED, EXIT_INTERRUPTED)
    sys.exit(code or 0)


def _fail_usage(error: Exception) -> NoReturn:
    """A wrong option or argument; a command without any shows its help."""
    context, message = error.ctx, error.format_message()  # type: ignore[attr-defined]
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.exit(EXIT_BAD_INPUT)
    path = f"; see `{context.command_path} --help`" if context else ""
    _fail(message.replace("Value error, ", "").rstrip(".") + path, EXIT_BAD_INPUT)


def _fail(message: str, code: int) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code or 0)
