"""The lock of a run's directory: held, waited for, or not to be had."""

import errno
import fcntl

import pytest

from gim_tf.errors import CheckpointError
from gim_tf.training.run_directory import RunDirectory


def test_a_directory_is_waited_for_no_longer_than_asked(tmp_path):
    run = RunDirectory(tmp_path)
    with run.locked(), pytest.raises(CheckpointError, match="is in use by"):
        RunDirectory(tmp_path).wait_until_free(0.0)
    run.wait_until_free(0.0)


def test_a_file_system_without_locks_is_not_called_in_use(
    tmp_path, monkeypatch
):
    def flock(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(CheckpointError, match=r"Cannot lock .* No locks avail"),
        RunDirectory(tmp_path).locked(),
    ):
        pass
