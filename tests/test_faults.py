"""Kills, signals and full disks, injected into real processes."""

import json
import random
import signal
import subprocess
import time

import pytest

from gim_tf import build, cli, experiments
from gim_tf import config as configuration
from gim_tf.errors import CheckpointError, DataError
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.run_directory import RunDirectory
from tests.processes import (
    differing,
    ended,
    finish,
    kill,
    newest,
    start,
    steps_of,
    wait_beyond,
)

pytestmark = pytest.mark.faults


@pytest.mark.parametrize(
    ("schedule", "steps", "kills"),
    [
        ("simultaneous", 40, 1),
        pytest.param("simultaneous", 40, 3, marks=pytest.mark.slow),
        pytest.param("sequential", 14, 3, marks=pytest.mark.slow),
    ],
)
def test_T1_kill_minus_9_resume_is_bit_identical(
    pictures, tmp_path, schedule, steps, kills, injected
):
    more = (f"training.schedule={schedule}", f"training.num_steps={steps}")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(pictures, whole, *more))
    generator = random.Random(schedule)
    for _ in range(kills):
        process = start(pictures, killed, *more)
        wait_beyond(killed, newest(killed), process)
        time.sleep(generator.uniform(0.0, 0.05))
        kill(process)
    errors = finish(start(pictures, killed, *more))
    assert "Resuming after step" in errors
    assert newest(whole) == newest(killed)
    injected(kills, differing(whole, killed))
    assert steps_of(killed) == steps_of(whole)


@pytest.mark.slow
def test_T1_growing_survives_kill_minus_9(pictures, tmp_path, injected):
    """In the middle of both modules, with early stopping on."""
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
    kills = ("depth_1", "depth_2", "depth_2")
    for depth in kills:
        process = start(pictures, killed, *more, verb=verb)
        wait_beyond(killed / depth, newest(killed / depth), process)
        kill(process)
    finish(start(pictures, killed, *more, verb=verb))
    lost = []
    for depth in ("depth_1", "depth_2"):
        assert newest(whole / depth) == newest(killed / depth)
        lost += differing(whole / depth, killed / depth)
    injected(len(kills), lost)
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
    wait_beyond(tmp_path / "run", 0, process)
    process.send_signal(number)
    ((found, errors),) = ended(process)
    assert found == code
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
    finish(*runs.values())
    a, b, c = (tmp_path / name for name in runs)
    assert not differing(a, b)
    assert differing(a, c)


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
    # Stopped before another step, a run writes the same once more.
    with pytest.raises(CheckpointError, match="Could not write"):
        checkpoints.save(1)
    assert checkpoints.steps() == [1]
    assert checkpoints.restore_latest() == 1
    with pytest.raises(CheckpointError, match="Cannot write"):
        RunDirectory(disk / "run").write_json("big.json", {"x": "y" * 10**6})


def test_T7_a_full_disk_is_one_line_of_the_command(small_disk, pictures):
    disk, fill = small_disk
    fill()
    ((code, errors),) = ended(start(pictures, disk / "run"))
    assert code == 2
    assert "Traceback" not in errors
    assert errors.strip().splitlines()[-1].startswith("gim: error: ")


@pytest.mark.slow
def test_T7_summaries_on_a_full_disk_end_the_run(small_disk, pictures):
    """TensorBoard's files alone have no room: the checkpoints stay whole."""
    disk, fill = small_disk
    run = disk.parent / "run"
    (disk / "tensorboard").mkdir()
    run.mkdir()
    (run / "tensorboard").symlink_to(disk / "tensorboard")
    more = ("training.num_steps=5000", "training.log_every=1")
    process = start(pictures, run, *more)
    wait_beyond(run, 0, process)
    fill()
    ((code, errors),) = ended(process)
    assert code == 2
    assert "Traceback" not in errors
    assert errors.strip().splitlines()[-1].startswith("gim: error: ")
    (disk / "filler").unlink()
    before = newest(run)
    process = start(pictures, run, *more)
    wait_beyond(run, before, process)
    process.send_signal(signal.SIGTERM)
    ((code, errors),) = ended(process)
    assert code == 143
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
