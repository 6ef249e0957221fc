"""Schedules, monitors, checkpoints and resuming: nothing silently lost."""

import json
import logging
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build, cli, config, experiments, jobs
from gim_tf.data.input_pipeline import Batch
from gim_tf.data.records import record_files
from gim_tf.errors import CheckpointError, TrainingError
from gim_tf.jobs.opening import loop_settings
from gim_tf.training import monitors
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.interrupts import Interrupts
from gim_tf.training.loop import Flow, train_on
from gim_tf.training.run_directory import RunDirectory
from gim_tf.training.schedules import phases, total_steps, trained_at
from tests import reference
from tests.conftest import TINY, write_noise_records
from tests.source_files import noise, write_idx

pytestmark = pytest.mark.integration


def weights(experiment, run_dir):
    stack = build.build_stack(experiment)
    trainer = build.build_trainer(experiment, stack)
    step = RunCheckpoints(run_dir, trainer).restore_latest()
    optimizers = [v for o in trainer.optimizers for v in o.variables]
    return step, [v.numpy() for v in (*stack.variables, *optimizers)]


def pretrain(experiment, records, directory, **kwargs):
    return jobs.pretrain(
        experiment,
        record_files(records, "train"),
        directory,
        tensorboard_dir=directory / "tensorboard",
        **kwargs,
    )


def of_training(line):
    """A log line without what the clock decides."""
    timed = ("seconds", "examples_per_second", "data_wait")
    return {key: found for key, found in line.items() if key not in timed}


def test_schedules_give_every_module_its_updates():
    together = phases("simultaneous", 3, 10)
    in_turn = phases("sequential", 3, 10)
    assert total_steps(together) == 10
    assert total_steps(in_turn) == 30
    assert trained_at(together, 9) == (True, True, True)
    assert [trained_at(in_turn, s).index(True) for s in (0, 9, 10, 29)] == [
        0,
        0,
        1,
        2,
    ]
    with pytest.raises(ValueError, match="ends"):
        trained_at(in_turn, 30)
    with pytest.raises(ValueError, match="'sequential'"):
        phases("greedy", 3, 10)


def test_monitors_equal_their_definitions():
    features = np.random.default_rng(0).normal(size=(400, 16))
    isotropic = monitors.feature_std(tf.constant(features, tf.float32))
    assert isotropic.numpy() == pytest.approx(1 / 4, rel=0.05)
    assert monitors.effective_rank(
        tf.constant(features, tf.float32)
    ).numpy() == pytest.approx(reference.effective_rank(features), rel=1e-3)
    constant = tf.ones((10, 16))
    assert monitors.feature_std(constant).numpy() < 1e-6
    assert monitors.effective_rank(constant).numpy() == 1.0
    assert monitors.is_collapsed(0.0)
    assert not monitors.is_collapsed(1.0)


@pytest.mark.parametrize(
    "schedule",
    ["simultaneous", pytest.param("sequential", marks=pytest.mark.slow)],
)
def test_a_run_in_two_parts_ends_like_one_in_one(
    tiny, tiny_records, tmp_path, schedule
):
    # Two modules: each phase of the sequential schedule is traced apart.
    tiny = config.resolve(
        tiny,
        [
            f"training.schedule={schedule}",
            "training.num_steps=4",
            "training.log_every=3",  # checkpoints lie between two lines
            "stack.encoder.planes=[4, 6]",
            "stack.encoder.depths=[1, 1]",
            "stack.module_sizes=[2, 1]",
        ],
    )
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    pretrain(tiny, tiny_records, whole)
    pretrain(tiny, tiny_records, parts)
    # As a kill between two checkpoints leaves it: newer ones never written.
    keep = 2 if schedule == "simultaneous" else 6
    for path in parts.glob("ckpt-*"):
        if int(path.name.split("-")[1].split(".")[0]) > keep:
            path.unlink()
    (parts / "pretrain.json").unlink()
    pretrain(tiny, tiny_records, parts)
    (step, expected), (again, found) = (
        weights(tiny, directory) for directory in (whole, parts)
    )
    assert step == again == (4 if schedule == "simultaneous" else 8)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)
    history = RunDirectory(parts).history()
    assert all(0 <= line["data_wait"] <= 1 for line in history)
    undisturbed = RunDirectory(whole).history()
    assert list(map(of_training, history)) == list(
        map(of_training, undisturbed)
    )


@pytest.fixture(scope="module")
def one_run(tmp_path_factory):
    """Four steps, trained once for the whole file."""
    directory = tmp_path_factory.mktemp("trained")
    experiment = config.resolve(
        experiments.get("fashion_mnist_gim"), [*TINY, "training.num_steps=4"]
    )
    write_noise_records(directory / "records")
    section = pretrain(experiment, directory / "records", directory / "run")
    return experiment, directory, section


@pytest.fixture
def finished(one_run, tmp_path):
    """A copy of that run, to be damaged or continued."""
    experiment, directory, section = one_run
    shutil.copytree(directory / "run", tmp_path / "run")
    return experiment, tmp_path / "run", section


def test_a_run_leaves_what_others_read(finished):
    _, directory, section = finished
    assert section == json.loads((directory / "pretrain.json").read_text())
    assert section["steps"] == 4
    assert list(section["modules"]) == ["module_1", "module_2", "module_3"]
    for values in section["modules"].values():
        assert values["chance_loss"] == pytest.approx(np.log(17))
        assert np.isfinite(values["loss"])
        assert values["effective_rank"] >= 1
    assert (directory / "pictures" / "views.png").exists()
    logs = (directory / "tensorboard").iterdir()
    runs = {path.name for path in logs if path.is_dir()}
    assert runs == {"module_1", "module_2", "module_3", "chance"}


def damage(file, how):
    content = file.read_bytes()
    if how == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        middle = len(content) // 2
        flipped = bytes(b ^ 0xFF for b in content[middle : middle + 64])
        file.write_bytes(content[:middle] + flipped + content[middle + 64 :])
    else:
        file.unlink()


@pytest.mark.parametrize("how", ["truncated", "flipped", "missing"])
def test_T3_a_damaged_checkpoint_is_passed_over_by_name(finished, caplog, how):
    tiny, directory, _ = finished
    damage(directory / "ckpt-4.data-00000-of-00001", how)
    with caplog.at_level(logging.WARNING):
        step, _ = weights(tiny, directory)
    assert step == 2
    assert "ckpt-4" in caplog.text


def test_T3_without_the_newest_index_the_one_before_is_used(
    finished,
):
    tiny, directory, _ = finished
    (directory / "ckpt-4.index").unlink()
    assert weights(tiny, directory)[0] == 2


def test_T4_damage_to_all_checkpoints_never_restarts_silently(
    finished, tiny_records
):
    tiny, directory, _ = finished
    for file in directory.glob("ckpt-*.data*"):
        damage(file, "truncated")
    with pytest.raises(CheckpointError, match="none can be read"):
        pretrain(tiny, tiny_records, directory)


@pytest.mark.parametrize("content", [None, b"", b"\0garbage", b"[1]"])
def test_T3_a_log_window_that_is_damaged_or_old_costs_only_the_log(
    finished, content, caplog
):
    tiny, directory, _ = finished
    window = directory / "ckpt-4.window.json"
    window.unlink()
    if content is not None:
        window.write_bytes(content)
    trainer = build.build_trainer(tiny, build.build_stack(tiny))
    checkpoints = RunCheckpoints(directory, trainer)
    assert checkpoints.restore_latest() == 4
    assert checkpoints.window == {}
    assert ("window.json cannot be read" in caplog.text) == (
        content is not None
    )


@pytest.mark.parametrize("content", [None, b"", b"\0garbage", b"path: 'x'"])
def test_T4_the_state_file_of_tensorflow_decides_nothing(finished, content):
    tiny, directory, _ = finished
    (directory / "SAVED").unlink()
    if content is not None:
        (directory / "checkpoint").write_bytes(content)
    assert weights(tiny, directory)[0] == 4
    for file in directory.glob("ckpt-*.data*"):
        damage(file, "flipped")
    with pytest.raises(CheckpointError, match="none can be read"):
        weights(tiny, directory)


def test_T4_a_log_that_is_cut_short_is_no_result(finished, tiny_records):
    """All is trained: what the log has lost would be missed by nobody."""
    tiny, directory, _ = finished
    log = directory / "history.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:-1]) + lines[-1][:30])
    with pytest.raises(CheckpointError, match=r"its log ends at step 2"):
        pretrain(tiny, tiny_records, directory)


def test_T5_other_settings_are_refused_by_key(finished, tiny_records):
    tiny, directory, _ = finished
    changed = config.resolve(tiny, ["training.learning_rate=0.5"])
    with pytest.raises(CheckpointError, match=r"training\.learning_rate"):
        pretrain(changed, tiny_records, directory)
    for harmless in (
        "probe.epochs=7",
        "training.recompute_groups=2",
        "training.operations_in_turn=true",
    ):
        again = config.resolve(tiny, [harmless])
        pretrain(again, tiny_records, directory)


def test_T6_a_second_run_in_one_directory_stops_at_once(
    tmp_path,
):
    run = RunDirectory(tmp_path)
    with (
        run.locked(),
        pytest.raises(CheckpointError, match="in use by process"),
        RunDirectory(tmp_path).locked(),
    ):
        pass
    with run.locked():
        pass


HOLD = """
import sys, time
from gim_tf.training.run_directory import RunDirectory
with RunDirectory(sys.argv[1]).locked():
    print("held", flush=True)
    time.sleep(600)
"""


def test_T6_the_lock_of_a_killed_process_is_taken_over(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(CheckpointError, match=f"by process {holder.pid};"):
        RunDirectory(tmp_path).locked().__enter__()
    holder.kill()
    holder.communicate()
    assert (tmp_path / "run.lock").exists()
    with RunDirectory(tmp_path).locked():
        pass


def test_T8_what_is_not_finite_stops_the_run_and_is_not_saved(
    tiny, tiny_records, tmp_path
):
    wild = config.resolve(
        tiny,
        [
            "training.learning_rate=1e30",
            "training.num_steps=8",
            "training.checkpoint_every=1",
        ],
    )
    directory = tmp_path / "run"
    with pytest.raises(
        TrainingError, match=r"of module_\d is .* at step"
    ) as caught:
        pretrain(wild, tiny_records, directory)
    step, found = weights(wild, directory)
    assert step == int(str(caught.value).split("step ")[1].split(".")[0]) - 1
    assert all(np.isfinite(values).all() for values in found)


def test_T8_the_command_ends_with_its_exit_code(tmp_path, capsys, injected):
    source, directory = tmp_path / "source", tmp_path / "run"
    for prefix, count in (("train", 24), ("t10k", 8)):
        labels = np.arange(count, dtype=np.uint8) % 10
        write_idx(source, noise(count, 28, 28), labels, prefix)
    settings = [
        *TINY,
        "data.source=idx",
        f"data.path={source}",
        "data.min_examples=8",
        "training.learning_rate=1e30",
        "training.checkpoint_every=1",
    ]
    command = ["pretrain", "--experiment", "fashion_mnist_gim"]
    command += ["--output-dir", str(directory)]
    for setting in settings:
        command += ["--set", setting]
    assert cli.main(command) == TrainingError.exit_code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.match(r"gim: error: .* of module_\d is .* at step \d+\.", last)
    failed_at = int(last.split("at step ")[1].split(".")[0])
    kept = list(directory.rglob("ckpt-*.index"))
    assert len(kept) == failed_at - 1
    injected(
        1,
        [
            (path.stem, name)
            for path in kept
            for name, _ in tf.train.list_variables(str(path.with_suffix("")))
            if (values := variable(path, name)).dtype.kind == "f"
            and not np.isfinite(values).all()
        ],
    )


def variable(index, name):
    return np.asarray(tf.train.load_variable(str(index.with_suffix("")), name))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_T8_input_that_is_not_finite_stops_the_run(tiny, grid, tmp_path, value):
    """No decoder gives such numbers; so they come from another input."""
    x, labels = grid
    x[1, 3, 2, 5, 5, 0] = value
    trainer = build.build_trainer(tiny, build.build_stack(tiny))
    checkpoints = RunCheckpoints(tmp_path, trainer)
    batch = Batch(tf.constant(x), tf.constant(labels))
    with pytest.raises(TrainingError, match=r"of module_1 is .* at step 1\."):
        train_on(
            trainer,
            Flow(iter([batch]), 3, Interrupts()),
            loop_settings(tiny),
            checkpoints=checkpoints,
            start_step=0,
            on_log=lambda line: None,
        )
    assert checkpoints.steps() == []


def test_resume_never_and_by_path(finished, tiny_records, tmp_path):
    tiny, directory, _ = finished
    with pytest.raises(CheckpointError, match="already holds"):
        pretrain(tiny, tiny_records, directory, resume="never")
    with pytest.raises(CheckpointError, match="cannot be read"):
        pretrain(tiny, tiny_records, directory, resume=str(tmp_path / "no"))
    other, last = tmp_path / "other", str(directory / "ckpt-4.index")
    with pytest.raises(CheckpointError, match=r"num_steps ends at step 4"):
        pretrain(tiny, tiny_records, other, resume=last)
    before = weights(tiny, directory)[1]
    pretrain(
        tiny, tiny_records, directory, resume=str(directory / "ckpt-2.index")
    )
    for a, b in zip(before, weights(tiny, directory)[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_checkpoint_brings_no_learning_rate(finished):
    tiny, directory, _ = finished
    slow = config.resolve(tiny, ["training.learning_rate=0.25"])
    trainer = build.build_trainer(slow, build.build_stack(slow))
    assert RunCheckpoints(directory, trainer).restore_latest() == 4
    assert float(trainer.optimizers[0].learning_rate.numpy()) == 0.25


def test_T4_a_first_checkpoint_that_was_never_finished_starts_over(
    tiny, tmp_path
):
    trainer = build.build_trainer(tiny, build.build_stack(tiny))
    checkpoints = RunCheckpoints(tmp_path, trainer)
    (tmp_path / "ckpt-2_temp").mkdir()
    (tmp_path / "ckpt-2_temp" / "part-00000-of-00001.data").write_text("x")
    assert checkpoints.restore_latest() == 0
    assert not (tmp_path / "ckpt-2_temp").exists()


def test_going_back_drops_the_checkpoints_of_the_other_future(tiny, tmp_path):
    trainer = build.build_trainer(tiny, build.build_stack(tiny))
    checkpoints = RunCheckpoints(tmp_path, trainer)
    for step in (800, 900, 1000, 200):
        checkpoints.save(step)
    assert checkpoints.steps() == [200]


def test_T13_constant_input_raises_the_collapse_alarm(tiny, tmp_path, caplog):
    from gim_tf.data import records
    from gim_tf.data.shards import ShardWriter
    from tests.conftest import png

    with ShardWriter(tmp_path / "records" / "Split-train") as writer:
        for index in range(16):
            blank = records.Record(
                str(index), 0, "train", png(np.full((28, 28, 1), 73, np.uint8))
            )
            writer.write(records.to_example(blank))
    experiment = config.resolve(
        tiny,
        [
            "training.num_steps=2",
            "view.pad_to=32",
            "view.size=32",
            "stack.encoder.stem_channels=4",
        ],
    )
    # Cut the border out: every patch of every view is the same.
    logging.getLogger("gim_tf").propagate = True
    with caplog.at_level(logging.WARNING):
        section = pretrain(experiment, tmp_path / "records", tmp_path / "run")
    assert section["alarms"] == ["module_1", "module_2", "module_3"]
    assert "has collapsed" in caplog.text


def test_T12_batch_of_one_trains(tiny, tiny_records, tmp_path):
    one = config.resolve(
        tiny, ["training.batch_size=1", "training.num_steps=2"]
    )
    section = pretrain(one, tiny_records, tmp_path / "run")
    assert np.isfinite(section["modules"]["module_3"]["loss"])


def test_old_checkpoints_are_removed(tiny, tmp_path):
    stack = build.build_stack(tiny)
    checkpoints = RunCheckpoints(
        tmp_path, build.build_trainer(tiny, stack), keep=2
    )
    for step in (1, 2, 3):
        checkpoints.save(step)
    assert checkpoints.steps() == [2, 3]
    assert not list(tmp_path.glob("ckpt-1*"))
    shutil.rmtree(tmp_path)
    assert checkpoints.restore_latest() == 0
