"""How every command of mixdq ends: errors as one line, exit codes that shells expect."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from mixdq.configs.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, MixdqError

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_INTERRUPTED = "interrupted; nothing half-written was left, and the same command resumes"


def run_app(app: typer.Typer, argv: Sequence[str] | None = None) -> NoReturn:
    """Runs a command line and exits the process.

    Exit codes: 0 after success; 2 after bad input (a `MixdqError`, a wrong option, or a disk that can't be
    written), with one line on stderr that begins with `error:`; 130 after Ctrl-C.

    Args:
        app: the commands.
        argv: the arguments without the program's name; None for those of this process.
    """
    try:
        app(None if argv is None else list(argv))
    except MixdqError as error:
        _fail(str(error), EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        _fail(_INTERRUPTED, EXIT_INTERRUPTED)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        place = error.filename or "the output folder"
        _fail(
            f"could not write {place}: {error.strerror}; free some space or choose another folder",
            EXIT_BAD_INPUT,
        )
    except SystemExit as ended:
        if ended.code == EXIT_INTERRUPTED:  # typer turns Ctrl-C into this, without a word
            _fail(_INTERRUPTED, EXIT_INTERRUPTED)
        raise
    sys.exit(0)


def _fail(message: str, code: int) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
