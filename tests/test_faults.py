"""Kills, signals and full disks, injected into real processes."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build, cli, experiments
from gim_tf import config as configuration
from gim_tf.errors import CheckpointError, DataError
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.run_directory import RunDirectory
from tests.conftest import TINY, png

pytestmark = pytest.mark.faults

SETTINGS = (
    *TINY,
    "training.num_steps=40",
    "training.checkpoint_every=3",
    "training.log_every=4",
    "data.source=folder",
    "data.holdout=0.2",
)


@pytest.fixture
def pictures(tmp_path):
    """A folder of 60 noise pictures in ten classes."""
    generator = np.random.default_rng(0)
    classes = experiments.get("fashion_mnist_gim").data.class_names
    for index in range(60):
        pixels = generator.integers(0, 256, (28, 28, 1), np.uint8)
        folder = tmp_path / "pictures" / classes[index % 10]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.png").write_bytes(png(pixels))
    return tmp_path / "pictures"


def start(pictures, directory, *more, verb=("pretrain",)):
    """`gim pretrain`, or another verb, as a process of its own."""
    settings = [w for s in (*SETTINGS, *more) for w in ("--set", s)]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "gim_tf.cli", *verb),
            *("--experiment", "fashion_mnist_gim"),
            *("--output-dir", str(directory), "--data", str(pictures)),
            *settings,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def newest(directory):
    found = (directory / "training").glob("ckpt-*.index")
    return max((int(p.stem.split("-")[1]) for p in found), default=0)


def wait_beyond(process, directory, step):
    deadline = time.monotonic() + 300
    while newest(directory) <= step:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "no new checkpoint in 300 s"
        time.sleep(0.01)


def variables(directory):
    """Of the newest checkpoint: weights, optimizers, random state, step."""
    reader = tf.train.load_checkpoint(
        str(directory / "training" / f"ckpt-{newest(directory)}")
    )
    return {
        name: reader.get_tensor(name).tobytes()
        for name in sorted(reader.get_variable_to_shape_map())
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def differing(one, other):
    """Names of the variables whose bytes are not the same in both runs."""
    a, b = variables(one), variables(other)
    assert a
    return [name for name in a.keys() | b.keys() if a.get(name) != b.get(name)]


def sha256_of_all_variables(directory):
    digest = hashlib.sha256()
    for name, content in variables(directory).items():
        digest.update(name.encode())
        digest.update(content)
    return digest.hexdigest()


def finish(process):
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return errors


@pytest.mark.parametrize("schedule", ["simultaneous", "sequential"])
def test_T1_kill_minus_9_resume_is_bit_identical(
    pictures, tmp_path, schedule, injected
):
    steps = 40 if schedule == "simultaneous" else 14
    more = (f"training.schedule={schedule}", f"training.num_steps={steps}")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(pictures, whole, *more))
    generator = random.Random(schedule)
    kills = 3 if schedule == "simultaneous" else 1
    for _ in range(kills):
        process = start(pictures, killed, *more)
        wait_beyond(process, killed, newest(killed))
        time.sleep(generator.uniform(0.0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    errors = finish(start(pictures, killed, *more))
    assert "Resuming after step" in errors
    assert newest(whole) == newest(killed)
    injected(kills, differing(whole, killed))
    steps_of = [
        [line["step"] for line in RunDirectory(d / "training").history()]
        for d in (whole, killed)
    ]
    assert steps_of[0] == steps_of[1]


def test_T1_growing_survives_kill_minus_9(pictures, tmp_path):
    """In the middle of the second module, with early stopping on."""
    verb = ("grow", "--max-modules", "2", "--tolerance", "-1")
    more = (
        "training.num_steps=30",
        "training.heldout_every=2",
        "training.heldout_examples=8",
        "training.patience=3",
        "training.min_delta=0.0",
    )
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(pictures, whole, *more, verb=verb))
    process = start(pictures, killed, *more, verb=verb)
    wait_beyond(process, killed / "depth_2", 0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    finish(start(pictures, killed, *more, verb=verb))
    for depth in ("depth_1", "depth_2"):
        assert newest(whole / depth) == newest(killed / depth)
        a, b = (sha256_of_all_variables(d / depth) for d in (whole, killed))
        assert a == b
    rows = [
        [
            {k: v for k, v in row.items() if k != "seconds"}
            for row in json.loads((d / "growth.json").read_text())["depths"]
        ]
        for d in (whole, killed)
    ]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_T2_signals_save_and_end_with_their_code(
    pictures, tmp_path, number, code
):
    process = start(pictures, tmp_path / "run", "training.num_steps=5000")
    wait_beyond(process, tmp_path / "run", 0)
    process.send_signal(number)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == code
    last = errors.strip().splitlines()[-1]
    assert last.startswith("gim: error: Interrupted by signal")
    assert f"after step {newest(tmp_path / 'run')}" in last


def test_T10_the_seed_decides_the_bytes(pictures, tmp_path):
    runs = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        runs[name] = start(
            pictures,
            tmp_path / name,
            "training.num_steps=5",
            f"training.seed={seed}",
        )
    for process in runs.values():
        finish(process)
    a, b, c = (sha256_of_all_variables(tmp_path / name) for name in runs)
    assert a == b
    assert a != c


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB, and a function that fills it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)],
        check=False,
        capture_output=True,
    )
    if mount.returncode:
        pytest.skip("mounting a small file system needs root")

    def fill():
        with (disk / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)):
                    pass
            except OSError:
                return

    yield disk, fill
    subprocess.run(["umount", str(disk)], check=True)


def test_T7_a_full_disk_keeps_the_checkpoint_before(small_disk, tiny):
    disk, fill = small_disk
    trainer = build.build_trainer(tiny, build.build_stack(tiny))
    checkpoints = RunCheckpoints(disk / "run", trainer)
    fill()
    with pytest.raises(CheckpointError, match="Could not write"):
        checkpoints.save(1)
    assert checkpoints.restore_latest() == 0
    (disk / "filler").unlink()
    checkpoints.save(1)
    fill()
    with pytest.raises(CheckpointError, match="Could not write"):
        checkpoints.save(2)
    assert checkpoints.steps() == [1]
    assert checkpoints.restore_latest() == 1
    with pytest.raises(CheckpointError, match="Cannot write"):
        RunDirectory(disk / "run").write_json("big.json", {"x": "y" * 10**6})


def test_T7_a_full_disk_is_one_line_of_the_command(small_disk, pictures):
    disk, fill = small_disk
    fill()
    process = start(pictures, disk / "run")
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 2
    assert "Traceback" not in errors
    assert errors.strip().splitlines()[-1].startswith("gim: error: ")


def test_T7_summaries_on_a_full_disk_end_the_run(small_disk, pictures):
    """TensorBoard's files alone have no room: the checkpoints stay whole."""
    disk, fill = small_disk
    run = disk.parent / "run"
    (disk / "tensorboard").mkdir()
    run.mkdir()
    (run / "tensorboard").symlink_to(disk / "tensorboard")
    more = ("training.num_steps=5000", "training.log_every=1")
    process = start(pictures, run, *more)
    wait_beyond(process, run, 0)
    fill()
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 2
    assert "Traceback" not in errors
    assert errors.strip().splitlines()[-1].startswith("gim: error: ")
    (disk / "filler").unlink()
    before = newest(run)
    process = start(pictures, run, *more)
    wait_beyond(process, run, before)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 143
    assert "Resuming after step" in errors


def test_T11_a_read_only_output_is_refused_before_training(
    tmp_path, pictures, capsys
):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a read-only file system needs root")
    words = ["--experiment", "fashion_mnist_gim", "--data", str(pictures)]
    words += ["--set", "data.source=folder", "--set", "data.holdout=0.2"]
    try:
        for place in (disk, disk / "run"):
            command = ["pretrain", *words, "--output-dir", str(place)]
            assert cli.main(command) == 2
            last = capsys.readouterr().err.strip().splitlines()[-1]
            assert last.startswith("gim: error: Cannot ")
            assert str(place) in last
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_T7_a_full_disk_leaves_no_half_records(small_disk):
    from gim_tf import jobs

    disk, fill = small_disk
    fill()
    experiment = configuration.resolve(experiments.get("fashion_mnist_gim"), [])
    with pytest.raises(DataError):
        jobs.ingest(experiment, disk / "records")
    assert {p.name for p in disk.iterdir()} <= {"filler"}
