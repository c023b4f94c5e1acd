"""The errors that users see: each says what was expected, what was found, and what to do."""

from __future__ import annotations

EXIT_BAD_INPUT = 2
"""Exit code of every command on bad input."""

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect (128 + SIGINT)."""


class MixdqError(Exception):
    """Base of every error caused by input, files or the machine, never by a defect of ours."""


class ModelError(MixdqError):
    """A model folder that is missing, incomplete, broken, or no SDXL pipeline."""


class PlanError(MixdqError):
    """A precision plan that is malformed or does not match the model's layers."""


class DigestError(MixdqError):
    """A file that was made from something else than what it is used with, or was changed since."""


class TargetError(MixdqError):
    """An unknown target, or one whose builder or hardware is missing, or that can't hold a precision."""


class BundleError(MixdqError):
    """A bundle that is missing, incomplete or of an unknown version."""


class GraphError(MixdqError):
    """An ONNX graph that does not have the form a step requires."""


class RequestError(MixdqError):
    """A request for a picture that the loaded bundle can't make."""


class EvaluationError(MixdqError):
    """Pictures, tables or weights that can't be measured or compared: incomplete, damaged, or not alike."""


class StorageError(MixdqError):
    """A file that could not be read or written: disk full, no permission, no such folder."""


class MachineError(MixdqError):
    """What the machine failed at: memory that ran out, a process that was killed, work already under way."""


class StoppedError(MixdqError):
    """Ctrl-C in a command that can't go on where it stopped: what it leaves, what the same command does."""
