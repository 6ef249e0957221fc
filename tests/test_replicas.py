"""Replicas: equal to one device, in one process and in several."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from gim_tf.errors import ConfigError
from gim_tf.jobs.supervising import free_addresses
from gim_tf.training.cluster import parse_cluster
from gim_tf.training.deadline import Deadline
from gim_tf.training.replicas import Replicas, make_replicas
from tests.processes import (
    PATIENCE,
    ROOT,
    differing,
    ended,
    finish,
    kill,
    newest,
    said,
    start,
    steps_of,
    wait_beyond,
)
from tests.saved_runs import variables

# A mean over examples, each of which has a label: equal but for the order of
# the sums, which Adam's first steps make no smaller than this.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def two_devices(tmp_path_factory):
    """What `tests/replica_checks.py` finds, in a process of its own."""
    run = subprocess.run(
        [
            sys.executable,
            ROOT / "tests" / "replica_checks.py",
            tmp_path_factory.mktemp("replicas"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.integration
@pytest.mark.parametrize("objective", ["supervised", "info_nce"])
def test_two_devices_do_what_one_does(two_devices, objective):
    """InfoNCE with negatives that are a function of their places."""
    assert two_devices["replicas"] == 2
    found = two_devices[objective]
    assert found["difference"] < TOLERANCE
    assert found["moved"] > 100 * TOLERANCE
    assert found["copies_equal"]


@pytest.mark.integration
def test_replicas_draw_other_negatives_and_a_checkpoint_has_all(two_devices):
    found = two_devices["trained"]
    assert found["first"] == pytest.approx(np.log(17), abs=0.01)
    assert found["last"] < found["first"] - 0.03
    assert found["copies_equal"]
    assert found["draws_differ"]
    assert found["draws_restored"]
    assert found["restored_on_one_device"]


@pytest.mark.integration
def test_a_guess_is_among_the_examples_of_one_replica(two_devices):
    assert two_devices["guesses"] == {"deep_infomax": 4, "predsim": 4}


@pytest.mark.integration
def test_modules_apart_have_the_weights_of_those_together(two_devices):
    """Bit for bit: what replicas give is handed on whole, and in order."""
    assert two_devices["trained"]["in_parts"]


@pytest.mark.integration
def test_a_mirrored_run_resumes_and_keeps_its_replicas(two_devices):
    found = two_devices["job"]
    assert found["resumed_equal"]
    other, odd = found["refused"]
    assert "replicas" in other
    assert "8 or 10" in odd


def test_one_device_needs_no_strategy():
    replicas = make_replicas("none")
    assert replicas.strategy is None
    assert (replicas.count, replicas.num_workers, replicas.worker) == (1, 1, 0)
    assert replicas.gathered(7) == [7]
    assert Replicas().is_chief
    with pytest.raises(ConfigError, match="TF_CONFIG"):
        make_replicas("multiworker")


CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}


def test_tf_config_says_who_is_who():
    found = parse_cluster(
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 1}})
    )
    assert found.addresses == ["a:1", "b:1", "c:1"]
    assert (found.worker, found.is_chief) == (2, False)
    workers = {"cluster": {"worker": ["b:1"]}, "task": {"type": "worker"}}
    workers["task"]["index"] = "0"  # as some launchers write it
    assert parse_cluster(json.dumps(workers)).is_chief


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"cluster": CLUSTER, "task": {"type": "ps", "index": 0}}),
        json.dumps(
            {"cluster": CLUSTER, "task": {"type": "worker", "index": 2}}
        ),
        json.dumps(
            {
                "cluster": {"worker": ["a:1", "a:1"]},
                "task": {"type": "worker", "index": 0},
            }
        ),
        json.dumps(
            {
                "cluster": {"worker": ["a:1"], "ps": ["b:1"]},
                "task": {"type": "worker", "index": 0},
            }
        ),
    ],
)
def test_a_wrong_tf_config_is_refused(text):
    with pytest.raises(ConfigError, match="TF_CONFIG"):
        parse_cluster(text)


def test_a_deadline_that_is_met_does_nothing():
    deadline = Deadline(2.0, "too late")
    for _ in range(11):
        time.sleep(0.2)
        deadline.extend()
    deadline.stop()


def test_a_run_outlives_the_process_that_watches_its_deadline(caplog):
    deadline = Deadline(60.0, "too late")
    deadline._watch.kill()
    deadline._watch.wait()
    for _ in range(3):
        deadline.extend()
    deadline.stop()
    (said,) = caplog.messages
    assert "Nothing ends this process" in said


def test_a_deadline_that_is_missed_kills_with_a_message():
    code = (
        "import time; from gim_tf.training.deadline import Deadline; "
        f"Deadline(0.3, 'too late'); time.sleep({PATIENCE})"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True
    )
    assert run.returncode == -9
    assert run.stderr.endswith(b"gim: error: too late\n")


SUPERVISED = "fashion_mnist_greedy_supervised"


def start_worker(pictures, run, *settings, task, timeout=PATIENCE, **options):
    """`gim pretrain` in a process of its own; a worker of two."""
    addresses, index = task
    cluster = {
        "cluster": {"worker": addresses},
        "task": {"type": "worker", "index": index},
    }
    verb = ("pretrain", "--strategy", "multiworker")
    return start(
        pictures,
        run,
        *settings,
        verb=(*verb, "--worker-timeout", str(timeout)),
        environment={"TF_CONFIG": json.dumps(cluster)},
        **options,
    )


def start_two(pictures, directory, *more, **options):
    addresses = free_addresses(2)
    return [
        start_worker(
            pictures, directory, *more, task=(addresses, index), **options
        )
        for index in range(2)
    ]


@pytest.mark.slow
@pytest.mark.integration
def test_two_processes_do_what_one_does(pictures, tmp_path):
    more = ("training.num_steps=4",)
    one, two = tmp_path / "one", tmp_path / "two"
    finish(start(pictures, one, *more, name=SUPERVISED))
    finish(*start_two(pictures, two, *more, name=SUPERVISED))
    expected, found = (variables(run / "training") for run in (one, two))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(
            found[name], value, atol=TOLERANCE, err_msg=name
        )
    assert steps_of(two) == steps_of(one) == [4]
    # The chief alone leaves a run.
    assert not list((two / "worker_1").glob("training/ckpt-*"))
    assert not (two / "worker_1" / "training" / "history.jsonl").exists()
    assert (two / "training" / "pretrain.json").exists()


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_T1_a_killed_worker_ends_all_and_the_run_goes_on(
    pictures, tmp_path, victim
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(*start_two(pictures, whole))
    processes = start_two(pictures, killed)
    wait_beyond(killed, 0, *processes)
    processes[victim].kill()
    found = ended(*processes)
    assert found[victim][0] == -9, found
    code, errors = found[1 - victim]
    assert code == 4, errors
    assert "has lost another one" in said(errors)
    finish(*start_two(pictures, killed))
    assert not differing(killed, whole)
    assert steps_of(killed) == steps_of(whole)


@pytest.mark.slow
@pytest.mark.faults
def test_T2_a_signal_to_one_worker_stops_all_at_the_same_step(
    pictures, tmp_path
):
    processes = start_two(pictures, tmp_path / "run", "training.num_steps=5000")
    wait_beyond(tmp_path / "run", 3, *processes)
    processes[1].terminate()
    found = ended(*processes)
    assert [code for code, _ in found] == [128 + 15] * 2
    first, second = (said(errors) for _, errors in found)
    assert first == second
    assert f"after step {newest(tmp_path / 'run')}," in first


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_alone_does_not_wait_for_ever(pictures, tmp_path, index):
    addresses = free_addresses(2)
    process = start_worker(
        pictures, tmp_path / "run", task=(addresses, index), timeout=5
    )
    ((code, errors),) = ended(process)
    assert code != 0
    assert addresses[1 - index] in said(errors)


@pytest.mark.slow
@pytest.mark.faults
def test_a_worker_that_stands_still_ends_the_others(pictures, tmp_path):
    # Long enough for the first step: until then they wait for each other.
    processes = start_two(
        pictures, tmp_path / "run", "training.num_steps=5000", timeout=240
    )
    wait_beyond(tmp_path / "run", 3, *processes)
    processes[1].send_signal(signal.SIGSTOP)
    ((code, errors),) = ended(processes[0])
    kill(processes[1])
    assert code != 0
    assert said(errors)
