"""The user's error inside what TFX and Beam make of it; imports no TFX."""

import errno
import re
from pathlib import Path

import pytest

from gim_tf.errors import DataError, GimError, InterruptedRunError
from pipelines.plain_errors import plain_errors


def raised(error, cause=None):
    with pytest.raises(Exception) as caught, plain_errors(Path("out")):  # noqa: PT011
        raise error from cause
    return caught.value


def test_the_cause_is_raised():
    cause = DataError("The source is empty.")
    assert raised(RuntimeError("stack"), cause) is cause


def test_beams_addition_is_cut():
    told = raised(DataError("Bad label. [while running 'Write']\n stack"))
    assert str(told) == "Bad label."


def test_other_fields_stay():
    error = InterruptedRunError("Saved.", 15)
    assert raised(error).exit_code == 143


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "file"),
        RuntimeError("query failed: database or disk is full query: UPDATE"),
    ],
)
def test_a_full_disk_is_one_line(error):
    told = raised(RuntimeError("stack"), error)
    assert isinstance(told, GimError)
    assert str(told).startswith("Cannot write below out: ")
    assert "\n" not in str(told)


def test_the_users_error_comes_before_its_consequences():
    cause = DataError("The source is empty.")
    full = OSError(errno.ENOSPC, "No space left on device")
    full.__cause__ = cause
    assert raised(RuntimeError("stack"), full) is cause


def test_the_text_of_a_workers_error_is_read():
    text = (
        "Traceback (most recent call last):\n"
        '  File "reader.py", line 1, in read\n'
        "gim_tf.errors.DataError: Bad label: 7. [while running 'Write']\n\n"
        "OSError: [Errno 28] No space left on device\n"
    )
    told = raised(RuntimeError(text))
    assert type(told) is DataError
    assert str(told) == "Bad label: 7."
    text = "gim_tf.errors.InterruptedRunError: Saved."
    assert str(raised(RuntimeError(text))) == "Saved."


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("out/pipeline", "Cannot write below out: Permission denied"),
        ("data/x.png", "outside of out cannot be used: .*data/x.png"),
    ],
)
def test_what_may_not_be_used_is_named(path, message):
    told = raised(PermissionError(errno.EACCES, "Permission denied", path))
    assert isinstance(told, DataError)
    assert re.search(message, str(told))


def test_defects_keep_their_type():
    assert isinstance(raised(KeyError("x")), KeyError)
