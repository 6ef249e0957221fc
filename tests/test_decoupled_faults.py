"""Workers that are killed, stopped, or never come."""

import os
import re
import signal
import time

import pytest

from gim_tf.errors import CheckpointError
from gim_tf.jobs.supervising import free_addresses
from gim_tf.training.run_directory import RunDirectory
from tests.test_faults import (  # noqa: F401 - pictures is a fixture
    differing,
    newest,
    pictures,
    sha256_of_all_variables,
    start,
)

pytestmark = pytest.mark.faults

# A history line every 4 steps says where a worker is between two checkpoints.
STEPS = ("training.num_steps=160", "training.checkpoint_every=20")
# Of a busy machine: an import of TensorFlow alone took 90 s on one.
PATIENCE = 900


def decoupled(*options):
    return ("pretrain", "--schedule", "decoupled", *options)


def part(directory, first, last):
    return directory / "training" / "workers" / f"modules_{first}_{last}"


def newest_of(folder):
    found = folder.glob("ckpt-*.index")
    return max((int(p.stem.split("-")[1]) for p in found), default=-1)


def last_logged(folder):
    history = RunDirectory(folder).history() if folder.exists() else []
    return history[-1]["step"] if history else -1


def said(errors):
    """The error of the command; TensorFlow may write behind it."""
    (found,) = re.findall("gim: error: (.*)", errors)
    return found


def finish(process):
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    return errors


def wait_for(process, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)


def wait_between_checkpoints(process, folder):
    """Until a worker has steps behind it that no checkpoint has.

    With a dozen steps before the next one: time enough to kill it.
    """
    wait_for(process, lambda: 0 < newest_of(folder) <= last_logged(folder) - 4)


def owner(folder):
    """The process that holds the folder, or held it last."""
    return (folder / "run.lock").read_text().strip()


def kill_worker(folder):
    """As `kill -9` of the process that holds the folder; returns its number."""
    number = owner(folder)
    os.kill(int(number), signal.SIGKILL)
    return number


@pytest.fixture
def whole(pictures, tmp_path):  # noqa: F811
    """The same experiment, trained by the simple loop."""
    finish(start(pictures, tmp_path / "whole", *STEPS))
    return tmp_path / "whole"


def steps_of(directory):
    history = RunDirectory(directory / "training").history()
    return [line["step"] for line in history]


def test_T1_killed_workers_come_back_and_the_weights_are_the_same(
    pictures,  # noqa: F811
    tmp_path,
    whole,
    injected,
):
    """The middle one: those above wait, those below do batches again."""
    run = tmp_path / "run"
    process = start(pictures, run, *STEPS, verb=decoupled("--workers", "3"))
    middle = part(run, 2, 2)
    wait_between_checkpoints(process, middle)
    kill_worker(middle)
    errors = finish(process)
    assert "was killed by signal 9" in errors
    assert "Going back to step" in errors
    assert newest(run) == newest(whole) == 160
    injected(1, differing(run, whole))
    assert steps_of(run) == steps_of(whole)


@pytest.mark.slow
def test_T2_a_run_of_workers_that_was_asked_to_end_goes_on(
    pictures,  # noqa: F811
    tmp_path,
    whole,
    injected,
):
    run = tmp_path / "run"
    verb = decoupled("--workers", "2")
    process = start(pictures, run, *STEPS, verb=verb)
    folders = run / "training" / "workers"
    wait_for(
        process, lambda: any(newest_of(p) > 0 for p in folders.glob("*_3"))
    )
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, errors
    assert said(errors).startswith("Interrupted by signal 15")
    assert not (run / "training" / "pretrain.json").exists()
    errors = finish(start(pictures, run, *STEPS, verb=verb))
    assert "Resuming after step" in errors
    injected(1, differing(run, whole))
    assert steps_of(run) == steps_of(whole)


@pytest.mark.slow
def test_T1_a_killed_worker_with_two_devices_comes_back(
    pictures,  # noqa: F811
    tmp_path,
    injected,
):
    """To the weights of the same run, undisturbed."""
    mirrored = ("--strategy", "mirrored", "--devices", "2,2")
    verb = decoupled("--workers", "2", *mirrored)
    whole, run = tmp_path / "whole", tmp_path / "run"
    finish(start(pictures, whole, *STEPS, verb=verb))
    process = start(pictures, run, *STEPS, verb=verb)
    # The measurement decides which modules the second worker has.
    folders = run / "training" / "workers"
    wait_for(process, lambda: len(list(folders.glob("*_3"))) == 1)
    (above,) = folders.glob("*_3")
    wait_between_checkpoints(process, above)
    kill_worker(above)
    errors = finish(process)
    assert "was killed by signal 9" in errors
    assert "Going back to step" in errors
    injected(1, differing(run, whole))


@pytest.mark.slow
def test_free_running_workers_go_on_without_one_that_was_killed(
    pictures,  # noqa: F811
    tmp_path,
):
    run = tmp_path / "run"
    more = (
        "training.num_steps=1000000",
        "training.checkpoint_every=5",
        "training.decoupled_mode=free_running",
    )
    process = start(pictures, run, *more, verb=decoupled("--workers", "3"))
    first, last = part(run, 1, 1), part(run, 3, 3)
    wait_for(process, lambda: newest_of(last) >= 10)
    killed = kill_worker(last)
    killed_at, then = newest_of(last), newest_of(first)
    # It takes seconds to come back: dozens of steps of the others.
    wait_for(process, lambda: owner(last) not in (killed, ""))
    assert newest_of(first) > then
    wait_for(process, lambda: newest_of(last) > killed_at)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, errors
    assert "was killed by signal 9" in errors


@pytest.mark.slow
def test_T2_workers_whose_command_was_killed_save_and_end(
    pictures,  # noqa: F811
    tmp_path,
):
    run = tmp_path / "run"
    process = start(
        pictures,
        run,
        "training.num_steps=1000000",
        "training.checkpoint_every=500",
        verb=decoupled("--workers", "2"),
    )
    folders = run / "training" / "workers"
    wait_for(
        process,
        lambda: len(list(folders.glob("*/history.jsonl"))) == 2,
    )
    parts = sorted(folders.glob("modules_*"))
    process.kill()
    process.communicate()
    deadline = time.monotonic() + PATIENCE
    for folder in parts:
        while True:
            try:
                with RunDirectory(folder).locked():
                    break
            except CheckpointError:  # it is still at work
                assert time.monotonic() < deadline
                time.sleep(0.1)
    # Not a multiple of 500: saved because it was to end.
    assert any(newest_of(folder) % 500 for folder in parts)


def in_cluster(pictures, run, task, addresses, timeout):  # noqa: F811
    options = ("--cluster", addresses, "--task", str(task))
    verb = decoupled(*options, "--worker-timeout", str(timeout))
    return start(pictures, run, *STEPS, verb=verb)


@pytest.mark.slow
def test_a_lost_host_is_one_clear_error_and_the_run_goes_on_later(
    pictures,  # noqa: F811
    tmp_path,
    whole,
):
    run, addresses = tmp_path / "run", ",".join(free_addresses(2))

    def worker(task, timeout):
        return in_cluster(pictures, run, task, addresses, timeout)

    first, second = worker(0, PATIENCE), worker(1, PATIENCE)
    # The measurement decides which modules the second worker has.
    folders = run / "training" / "workers"
    wait_for(
        first, lambda: any(newest_of(p) >= 10 for p in folders.glob("*_3"))
    )
    second.kill()
    second.communicate()
    first.send_signal(signal.SIGTERM)
    _, errors = first.communicate(timeout=PATIENCE)
    assert first.returncode == 143, errors
    # Its host does not come back, and nobody waits for ever.
    first = worker(0, 3)
    _, errors = first.communicate(timeout=PATIENCE)
    assert first.returncode == 4, errors
    assert said(errors).startswith("Worker 2 of 2 ")
    assert "gave no sign for 3 s" in said(errors)
    assert "Traceback" not in errors
    first, second = worker(0, PATIENCE), worker(1, PATIENCE)
    finish(second)
    finish(first)
    assert sha256_of_all_variables(run) == sha256_of_all_variables(whole)


@pytest.mark.slow
def test_a_cluster_without_a_first_worker_says_so(pictures, tmp_path):  # noqa: F811
    process = in_cluster(
        pictures, tmp_path / "run", 1, ",".join(free_addresses(2)), timeout=2
    )
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4, errors
    assert "which the first worker writes" in said(errors)
