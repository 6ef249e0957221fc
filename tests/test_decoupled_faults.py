"""Workers that are killed, stopped, or never come."""

import os
import signal
import time

import pytest

from gim_tf.errors import CheckpointError
from gim_tf.jobs.supervising import free_addresses
from gim_tf.training.run_directory import RunDirectory
from tests.processes import (
    PATIENCE,
    differing,
    ended,
    finish,
    kill,
    newest,
    said,
    start,
    steps_of,
    wait_for,
)
from tests.saved_runs import newest as newest_of

pytestmark = pytest.mark.faults

# A history line every 4 steps says where a worker is between two checkpoints.
STEPS = ("training.num_steps=160", "training.checkpoint_every=20")


def decoupled(*options):
    return ("pretrain", "--schedule", "decoupled", *options)


def part(directory, first, last):
    return directory / "training" / "workers" / f"modules_{first}_{last}"


def last_logged(folder):
    history = RunDirectory(folder).history() if folder.exists() else []
    return history[-1]["step"] if history else -1


def wait_between_checkpoints(process, folder):
    """Until a worker has steps behind it that no checkpoint has.

    With a dozen steps before the next one: time enough to kill it.
    """
    wait_for(lambda: 0 < newest_of(folder) <= last_logged(folder) - 4, process)


def owner(folder):
    """The process that holds the folder, or held it last."""
    return (folder / "run.lock").read_text().strip()


def kill_worker(folder):
    """As `kill -9` of the process that holds the folder; returns its number."""
    number = owner(folder)
    os.kill(int(number), signal.SIGKILL)
    return number


def worker_of(process, folders, last):
    """The folder of the worker whose last module it is, once it is there."""
    wait_for(lambda: len(list(folders.glob(f"*_{last}"))) == 1, process)
    (found,) = folders.glob(f"*_{last}")
    return found


@pytest.fixture
def whole(pictures, tmp_path):
    """The same experiment, trained by the simple loop."""
    finish(start(pictures, tmp_path / "whole", *STEPS))
    return tmp_path / "whole"


THREE = decoupled("--workers", "3")
MIRRORED = decoupled(
    *("--workers", "2", "--strategy", "mirrored", "--devices", "2,2")
)


@pytest.mark.parametrize(
    ("verb", "victims", "undisturbed"),
    [
        # The middle one: those above wait, those below do batches again.
        (THREE, (2,), ("pretrain",)),
        pytest.param(THREE, (2, 1, 3), ("pretrain",), marks=pytest.mark.slow),
        # On two devices each; the weights are not those of one device.
        pytest.param(MIRRORED, (3,), MIRRORED, marks=pytest.mark.slow),
    ],
    ids=["one", "one_after_the_other", "two_devices"],
)
def test_T1_killed_workers_come_back_and_the_weights_are_the_same(
    pictures, tmp_path, injected, verb, victims, undisturbed
):
    """`victims`: the last module of each worker that is killed."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    finish(start(pictures, whole, *STEPS, verb=undisturbed))
    process = start(pictures, run, *STEPS, verb=verb)
    # A measurement decides which is the first module of a second of two.
    folders = run / "training" / "workers"
    for last in victims:
        worker = worker_of(process, folders, last)
        wait_between_checkpoints(process, worker)
        kill_worker(worker)
    errors = finish(process)
    assert "was killed by signal 9" in errors
    assert "Going back to step" in errors
    assert newest(run) == newest(whole) == 160
    injected(len(victims), differing(run, whole))
    assert steps_of(run) == steps_of(whole)


@pytest.mark.slow
def test_T2_a_run_of_workers_that_was_asked_to_end_goes_on(
    pictures,
    tmp_path,
    whole,
    injected,
):
    run = tmp_path / "run"
    verb = decoupled("--workers", "2")
    process = start(pictures, run, *STEPS, verb=verb)
    folders = run / "training" / "workers"
    wait_for(
        lambda: any(newest_of(p) > 0 for p in folders.glob("*_3")), process
    )
    process.send_signal(signal.SIGTERM)
    ((code, errors),) = ended(process)
    assert code == 143, errors
    assert said(errors).startswith("Interrupted by signal 15")
    assert not (run / "training" / "pretrain.json").exists()
    errors = finish(start(pictures, run, *STEPS, verb=verb))
    assert "Resuming after step" in errors
    injected(1, differing(run, whole))
    assert steps_of(run) == steps_of(whole)


@pytest.mark.slow
def test_free_running_workers_go_on_without_one_that_was_killed(
    pictures,
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
    wait_for(lambda: newest_of(last) >= 10, process)
    killed = kill_worker(last)
    killed_at, then = newest_of(last), newest_of(first)
    # It takes seconds to come back: dozens of steps of the others.
    wait_for(lambda: owner(last) not in (killed, ""), process)
    assert newest_of(first) > then
    wait_for(lambda: newest_of(last) > killed_at, process)
    process.send_signal(signal.SIGTERM)
    ((code, errors),) = ended(process)
    assert code == 143, errors
    assert "was killed by signal 9" in errors


@pytest.mark.slow
def test_T2_workers_whose_command_was_killed_save_and_end(
    pictures,
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
    wait_for(lambda: len(list(folders.glob("*/history.jsonl"))) == 2, process)
    parts = sorted(folders.glob("modules_*"))
    kill(process)
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


def in_cluster(pictures, run, task, addresses, timeout):
    options = ("--cluster", addresses, "--task", str(task))
    verb = decoupled(*options, "--worker-timeout", str(timeout))
    return start(pictures, run, *STEPS, verb=verb)


@pytest.mark.slow
def test_a_lost_host_is_one_clear_error_and_the_run_goes_on_later(
    pictures,
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
        lambda: any(newest_of(p) >= 10 for p in folders.glob("*_3")), first
    )
    kill(second)
    first.send_signal(signal.SIGTERM)
    ((code, errors),) = ended(first)
    assert code == 143, errors
    # Its host does not come back, and nobody waits for ever.
    ((code, errors),) = ended(worker(0, 3))
    assert code == 4, errors
    assert said(errors).startswith("Worker 2 of 2 ")
    assert "gave no sign for 3 s" in said(errors)
    assert "Traceback" not in errors
    finish(worker(0, PATIENCE), worker(1, PATIENCE))
    assert not differing(run, whole)


@pytest.mark.slow
def test_a_cluster_without_a_first_worker_says_so(pictures, tmp_path):
    process = in_cluster(
        pictures, tmp_path / "run", 1, ",".join(free_addresses(2)), timeout=2
    )
    ((code, errors),) = ended(process)
    assert code == 4, errors
    assert "which the first worker writes" in said(errors)
