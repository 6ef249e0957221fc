"""The user's error inside what TFX and Beam make of it; imports no TFX."""

import errno
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


def test_defects_keep_their_type():
    assert isinstance(raised(KeyError("x")), KeyError)
