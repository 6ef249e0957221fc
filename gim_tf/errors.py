"""Errors whose message tells the user what to change.

The command line prints them as one line and ends with `exit_code`; anything
else is a defect of this package and keeps its traceback.
"""

import re

# TensorFlow, Beam and SQLite have exceptions of their own for these.
_UNWRITABLE = re.compile(
    "No space left on device|disk is full|Disk quota exceeded|File too large"
    "|Read-only file system|Permission denied"
)


class GimError(Exception):
    """Base of all errors that a user can cause and mend."""

    exit_code = 2


class ConfigError(GimError, ValueError):
    """A setting is unknown, has the wrong type, or contradicts another."""


class DataError(GimError, ValueError):
    """The data are missing, damaged, empty or outside their contract."""


class CheckpointError(GimError):
    """A run directory cannot be continued as it stands."""


class TrainingError(GimError, ArithmeticError):
    """Training left the finite numbers; names the module and the step."""


class ExportError(GimError):
    """An exported model is missing, incomplete or altered."""


class NotBlessedError(GimError):
    """The run finished, but its encoder did not pass the quality gate."""

    exit_code = 3


class InterruptedRunError(GimError):
    """SIGTERM or SIGINT arrived; the run was saved and can be resumed.

    The exit code is 128 + the signal's number, as shells use it.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def unwritable(error: BaseException) -> str | None:
    """Why nothing could be written, if that is what an error says."""
    found: BaseException | None = error
    while found is not None:
        reason = _UNWRITABLE.search(str(found))
        if reason:
            return reason[0]
        found = found.__cause__ or found.__context__
    return None
