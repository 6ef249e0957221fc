"""Finds the user's error inside what TFX and Beam make of it."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from gim_tf import errors
from gim_tf.errors import GimError, chain, disk_error

# What Beam appends to the message of an exception that it passes on.
_BEAM_SUFFIX = re.compile(r" \[while running '.*", re.S)
# Beam's worker processes send the traceback as the text of a RuntimeError.
_AS_TEXT = re.compile(r"gim_tf\.errors\.(\w+): (.*)")


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
    for found in chain(error):
        if isinstance(found, GimError):
            message = _BEAM_SUFFIX.sub("", str(found))
            if message != str(found):
                found.args = (message, *found.args[1:])
            return found
    from_text = (_from_text(str(found)) for found in chain(error))
    told = next((plain for plain in from_text if plain is not None), None)
    return told or disk_error(error, directory)


def _from_text(text: str) -> GimError | None:
    match = _AS_TEXT.search(text)
    if not match:
        return None
    kind = getattr(errors, match[1], GimError)
    message = _BEAM_SUFFIX.sub("", match[2])
    try:
        return kind(message)
    except TypeError:  # takes more than a message, which the text lacks
        return GimError(message)
