"""Finds the user's error inside what TFX and Beam make of it."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from gim_tf import errors
from gim_tf.errors import DataError, GimError

# What Beam appends to the message of an exception that it passes on.
_BEAM_SUFFIX = re.compile(r" \[while running '.*", re.S)
# Beam's worker processes send the traceback as the text of a RuntimeError.
_AS_TEXT = re.compile(r"gim_tf\.errors\.(\w+): (.*)")
# TensorFlow, Beam and SQLite have exceptions of their own for these.
_FULL = re.compile(
    "No space left on device|disk is full|Disk quota exceeded|File too large"
)
_FORBIDDEN = re.compile("Read-only file system|Permission denied")


@contextlib.contextmanager
def plain_errors(directory: Path) -> Iterator[None]:
    """Raises the `GimError` inside an exception; others pass.

    A disk that is full, and files that may not be read or written, are
    `GimError`s too.

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
    chain = list(_chain(error))
    for found in chain:
        if isinstance(found, GimError):
            message = _BEAM_SUFFIX.sub("", str(found))
            if message != str(found):
                found.args = (message, *found.args[1:])
            return found
    # One after the other: what was found first may be a consequence only.
    return next(
        (
            plain
            for read in (_from_text, _full_disk, _forbidden)
            for found in chain
            if (plain := read(str(found), directory)) is not None
        ),
        None,
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _from_text(text: str, directory: Path) -> GimError | None:
    del directory
    match = _AS_TEXT.search(text)
    if not match:
        return None
    kind = getattr(errors, match[1], GimError)
    message = _BEAM_SUFFIX.sub("", match[2])
    try:
        return kind(message)
    except TypeError:  # takes more than a message, which the text lacks
        return GimError(message)


def _full_disk(text: str, directory: Path) -> GimError | None:
    reason = _FULL.search(text)
    if not reason:
        return None
    return DataError(
        f"Cannot write below {directory}: {reason[0]}. Free space there, or "
        "choose another output directory."
    )


def _forbidden(text: str, directory: Path) -> GimError | None:
    reason = _FORBIDDEN.search(text)
    if not reason:
        return None
    if str(directory) in text:
        return DataError(
            f"Cannot write below {directory}: {reason[0]}. Get permission "
            "there, or choose another output directory."
        )
    line = next(line for line in text.splitlines() if reason[0] in line)
    return DataError(
        f"A file outside of {directory} cannot be used: {line.strip()}. "
        "Check the permissions of data.path."
    )
