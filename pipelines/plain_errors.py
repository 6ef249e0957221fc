"""Finds the user's error inside what TFX and Beam make of it."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from gim_tf.errors import DataError, GimError

# What Beam appends to the message of an exception that it passes on.
_BEAM_SUFFIX = re.compile(r" \[while running '.*", re.S)
# TensorFlow, Beam and SQLite have exceptions of their own for these.
_DISK = re.compile(
    "No space left on device|disk is full|Disk quota exceeded|File too large"
    "|Read-only file system|Permission denied"
)


@contextlib.contextmanager
def plain_errors(directory: Path) -> Iterator[None]:
    """Raises the `GimError` at the bottom of an exception; others pass.

    A disk that is full or may not be written is a `GimError` too.

    Args:
      directory: what is written, for the message.
    """
    try:
        yield
    except Exception as error:
        plain = _plain(error, directory)
        if plain is None or plain is error:
            raise
        raise plain from error


def _plain(error: BaseException, directory: Path) -> GimError | None:
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, GimError):
            message = _BEAM_SUFFIX.sub("", str(found))
            if message != str(found):
                found.args = (message, *found.args[1:])
            return found
        reason = _DISK.search(str(found))
        if reason:
            return DataError(
                f"Cannot write below {directory}: {reason[0]}. Free space or "
                "permissions there, or choose another output directory."
            )
        found = found.__cause__ or found.__context__
    return None
