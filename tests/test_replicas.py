"""Replicas: equal to one device, in one process and in several."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gim_tf.errors import ConfigError
from gim_tf.jobs.supervising import free_addresses
from gim_tf.training.cluster import parse_cluster, tf_config
from gim_tf.training.deadline import Deadline
from gim_tf.training.replicas import Replicas, make_replicas
from gim_tf.training.run_directory import RunDirectory
from tests.conftest import TINY, png

ROOT = Path(__file__).parents[1]
# A mean over examples, each of which has a label: equal but for the order of
# the sums, which Adam's first steps make no smaller than this.
TOLERANCE = 1e-5
# Of a busy machine: an import of TensorFlow alone took 90 s on one.
PATIENCE = 900


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
    assert parse_cluster(json.dumps(tf_config(found))) == found
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


SETTINGS = (
    *TINY,
    "training.num_steps=48",
    "training.checkpoint_every=3",
    "training.log_every=4",
    "data.source=folder",
    "data.holdout=0.2",
)
SUPERVISED = "fashion_mnist_greedy_supervised"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of 60 noise pictures in ten classes."""
    from gim_tf import experiments

    folder = tmp_path_factory.mktemp("noise") / "pictures"
    generator = np.random.default_rng(0)
    classes = experiments.get("fashion_mnist_gim").data.class_names
    for index in range(60):
        pixels = generator.integers(0, 256, (28, 28, 1), np.uint8)
        below = folder / classes[index % 10]
        below.mkdir(parents=True, exist_ok=True)
        (below / f"{index}.png").write_bytes(png(pixels))
    return folder


def start(
    pictures,
    directory,
    *more,
    name="fashion_mnist_gim",
    task=None,
    timeout=PATIENCE,
):
    """`gim pretrain` in a process of its own; a task: a worker of two."""
    settings = [
        word
        for setting in (*SETTINGS, *more)
        if name != SUPERVISED or "objective" not in setting
        for word in ("--set", setting)
    ]
    environment = dict(os.environ)
    if task is not None:
        addresses, index = task
        environment["TF_CONFIG"] = json.dumps(
            {
                "cluster": {"worker": addresses},
                "task": {"type": "worker", "index": index},
            }
        )
        settings += ["--strategy", "multiworker"]
        settings += ["--worker-timeout", str(timeout)]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "gim_tf.cli", "pretrain"),
            *("--experiment", name, "--output-dir", str(directory)),
            *("--data", str(pictures), *settings),
        ],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(pictures, directory, *more, **options):
    addresses = free_addresses(2)
    return [
        start(pictures, directory, *more, task=(addresses, index), **options)
        for index in range(2)
    ]


def finish(processes, limit=PATIENCE):
    """[(exit code, standard error)]; nobody may hang."""
    deadline = time.monotonic() + limit
    ended = []
    try:
        for process in processes:
            left = max(1.0, deadline - time.monotonic())
            _, errors = process.communicate(timeout=left)
            ended.append((process.returncode, errors))
    finally:
        for process in processes:
            process.kill()
    return ended


def said(errors):
    """The error of the command; TensorFlow may write behind it."""
    (found,) = re.findall("gim: error: (.*)", errors)
    return found


def newest(directory):
    found = (directory / "training").glob("ckpt-*.index")
    return max((int(p.stem.split("-")[1]) for p in found), default=0)


def wait_beyond(processes, directory, step):
    deadline = time.monotonic() + PATIENCE
    while newest(directory) <= step:
        for process in processes:
            assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "no new checkpoint"
        time.sleep(0.01)


def saved(directory):
    """All that the newest checkpoint holds, as one array."""
    reader = tf.train.load_checkpoint(
        str(directory / "training" / f"ckpt-{newest(directory)}")
    )
    return np.concatenate(
        [
            np.ravel(reader.get_tensor(name)).astype(np.float64)
            for name in sorted(reader.get_variable_to_shape_map())
            if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
        ]
    )


def steps_of(directory):
    history = RunDirectory(directory / "training").history()
    return [line["step"] for line in history]


@pytest.mark.slow
@pytest.mark.integration
def test_two_processes_do_what_one_does(pictures, tmp_path):
    more = ("training.num_steps=4",)
    one, two = tmp_path / "one", tmp_path / "two"
    alone = start(pictures, one, *more, name=SUPERVISED)
    assert finish([alone])[0][0] == 0
    for code, errors in finish(
        start_two(pictures, two, *more, name=SUPERVISED)
    ):
        assert code == 0, errors
    np.testing.assert_allclose(saved(two), saved(one), atol=TOLERANCE)
    assert steps_of(two) == steps_of(one) == [4]
    # The chief alone leaves a run.
    assert not list((two / "worker_1").glob("training/ckpt-*"))
    assert not (two / "worker_1" / "training" / "history.jsonl").exists()
    assert (two / "training" / "pretrain.json").exists()


@pytest.mark.faults
@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_T1_a_killed_worker_ends_all_and_the_run_goes_on(
    pictures, tmp_path, victim
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert [code for code, _ in finish(start_two(pictures, whole))] == [0, 0]
    processes = start_two(pictures, killed)
    wait_beyond(processes, killed, 0)
    processes[victim].kill()
    ended = finish(processes)
    assert ended[victim][0] == -9, ended
    code, errors = ended[1 - victim]
    assert code == 4, errors
    assert "has lost another one" in said(errors)
    for code, errors in finish(start_two(pictures, killed)):
        assert code == 0, errors
    np.testing.assert_array_equal(saved(killed), saved(whole))
    assert steps_of(killed) == steps_of(whole)


@pytest.mark.slow
@pytest.mark.faults
def test_T2_a_signal_to_one_worker_stops_all_at_the_same_step(
    pictures, tmp_path
):
    processes = start_two(pictures, tmp_path / "run", "training.num_steps=5000")
    wait_beyond(processes, tmp_path / "run", 3)
    processes[1].terminate()
    ended = finish(processes)
    assert [code for code, _ in ended] == [128 + 15] * 2
    first, second = (said(errors) for _, errors in ended)
    assert first == second
    assert f"after step {newest(tmp_path / 'run')}," in first


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_alone_does_not_wait_for_ever(pictures, tmp_path, index):
    addresses = free_addresses(2)
    process = start(
        pictures, tmp_path / "run", task=(addresses, index), timeout=5
    )
    ((code, errors),) = finish([process])
    assert code != 0
    assert addresses[1 - index] in said(errors)


@pytest.mark.slow
@pytest.mark.faults
def test_a_worker_that_stands_still_ends_the_others(pictures, tmp_path):
    # Long enough for the first step: until then they wait for each other.
    processes = start_two(
        pictures, tmp_path / "run", "training.num_steps=5000", timeout=240
    )
    wait_beyond(processes, tmp_path / "run", 3)
    processes[1].send_signal(signal.SIGSTOP)
    ((code, errors),) = finish(processes[:1])
    processes[1].kill()
    processes[1].communicate()
    assert code != 0
    assert said(errors)
