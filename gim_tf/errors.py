"""Errors whose message tells the user what to change.

The command line prints them as one line and ends with `exit_code`; anything
else is a defect of this package and keeps its traceback.
"""

import contextlib
import re
from collections.abc import Iterator
from os import PathLike

# TensorFlow, Beam and SQLite have exceptions of their own for these.
_FULL = re.compile(
    "No space left on device|disk is full|Disk quota exceeded|File too large"
)
_FORBIDDEN = re.compile("Read-only file system|Permission denied")


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


class WeightsError(GimError, ValueError):
    """Weights from elsewhere cannot be read, or are of another network."""


class ExportError(GimError):
    """An exported model is missing, incomplete or altered."""


class ServingError(GimError):
    """A served model did not answer; see the subclasses for why."""


class InvalidRequestError(ServingError, ValueError):
    """The request is at fault: sent again, it will be refused again."""


class RequestTooLargeError(InvalidRequestError):
    """The request has more bytes or more examples than are taken."""


class ModelNotFoundError(ServingError, LookupError):
    """The server has no such model or version."""


class UnavailableError(ServingError):
    """There is no server, or it takes no more requests for now."""


class DeadlineError(ServingError, TimeoutError):
    """The answer did not come in time."""


class CloudError(GimError):
    """A cloud service could not be asked, or refused."""


class GoldenError(GimError, ValueError):
    """A golden set that cannot be read, or a case that is not met."""

    exit_code = 1


class BenchError(GimError):
    """A process that measures something did not end well."""

    exit_code = 1


class NotBlessedError(GimError):
    """The run finished, but its encoder did not pass the quality gate."""

    exit_code = 3


class StudyError(GimError):
    """Some runs of a study failed; the others are finished and shown."""

    exit_code = 3


class WorkerLostError(GimError):
    """Another worker did not answer in time; the run can be resumed."""

    exit_code = 4


class InterruptedRunError(GimError):
    """SIGTERM or SIGINT arrived; the run was saved and can be resumed.

    The exit code is 128 + the signal's number, as shells use it.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class WorkerFailedError(GimError):
    """A worker process ended with an error; it has that one's exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it came from, outermost first."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def disk_error(
    error: BaseException, directory: str | PathLike[str]
) -> DataError | None:
    """What a full or forbidden disk means for the user, if that is the cause.

    Args:
      error: of any library.
      directory: what is written, for the message.
    """
    texts = [str(found) for found in chain(error)]
    # First one, then the other: what stands outside may be a consequence.
    for text in texts:
        if reason := _FULL.search(text):
            return DataError(
                f"Cannot write below {directory}: {reason[0]}. Free space "
                "there, or choose another output directory."
            )
    for text in texts:
        if reason := _FORBIDDEN.search(text):
            return _forbidden(text, reason[0], str(directory))
    return None


def _forbidden(text: str, reason: str, directory: str) -> DataError:
    if directory in text:
        return DataError(
            f"Cannot write below {directory}: {reason}. Get permission "
            "there, or choose another output directory."
        )
    line = next(line for line in text.splitlines() if reason in line)
    return DataError(
        f"A file outside of {directory} cannot be used: {line.strip()}. "
        "Check the permissions of data.path."
    )


@contextlib.contextmanager
def cloud_errors() -> Iterator[None]:
    """Raises a `CloudError` for what Google's libraries raise."""
    try:
        yield
    except Exception as error:
        plain = _cloud_error(error)
        if plain is None:
            raise
        raise plain from error


def _cloud_error(error: Exception) -> CloudError | None:
    """By the names of its classes: the libraries take a second to import."""
    names = {kind.__name__ for kind in type(error).__mro__}
    lines = str(error).strip().splitlines() or [type(error).__name__]
    said = lines[0].rstrip(".")
    if "DefaultCredentialsError" in names:
        return CloudError(
            "No Application Default Credentials were found; run `gcloud auth "
            "application-default login`, or use a machine with a service "
            "account."
        )
    if "GoogleAuthError" in names:
        return CloudError(
            f"The credentials were not accepted: {said}. Run `gcloud auth "
            "application-default login` again."
        )
    if "GoogleAPIError" in names:
        return CloudError(
            f"The cloud refused a call: {said}. Look at the project, the "
            "region and the account's roles."
        )
    return None
