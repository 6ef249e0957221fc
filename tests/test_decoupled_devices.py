"""Decoupled workers on two devices, of one process and of each process."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gim_tf import config
from tests.saved_runs import differing
from tests.test_decoupled import (  # noqa: F401 - vision is a fixture
    decoupled,
    trained_values,
    vision,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).parents[1]


def on_two_devices(experiment, script):
    """What `script` prints, which begins with two logical processors."""
    begin = """
        import json, sys
        import tensorflow as tf
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * 2,
        )
        from gim_tf import config, jobs
        from gim_tf.data.records import record_files
        from gim_tf.jobs import decoupled_part, Workers
        experiment = config.from_dict(json.load(sys.stdin))
    """
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            textwrap.dedent(begin) + textwrap.dedent(script),
        ],
        input=json.dumps(config.to_dict(experiment)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_devices_of_one_process_take_turns(
    vision,  # noqa: F811
    tmp_path,
):
    """Two logical processors; their queue carries tensors across."""
    experiment, records, whole = vision
    script = f"""
        build = decoupled_part.build_trainer
        def told(plan, task):
            trainer = build(plan, task)
            devices = {{v.value.device for v in trainer.stack.variables}}
            print("DEVICES", task, *devices)
            return trainer
        decoupled_part.build_trainer = told
        jobs.pretrain(
            experiment,
            record_files({str(records)!r}, "train"),
            {str(tmp_path / "run")!r},
            tensorboard_dir={str(tmp_path / "tensorboard")!r},
            workers=Workers(sizes=(1, 2)),
        )
    """
    devices = [
        line.split()[2:]
        for line in on_two_devices(decoupled(experiment), script).splitlines()
        if line.startswith("DEVICES")
    ]
    assert [[one[-5:] for one in two] for two in devices] == [
        ["CPU:0"],
        ["CPU:1"],
    ]
    assert not differing(tmp_path / "run", whole)


def test_mirrored_workers_end_with_the_weights_of_a_mirrored_run(
    vision,  # noqa: F811
    tmp_path,
):
    """Two replicas in each: the same sums, in the same order."""
    experiment, records, alone = vision
    experiment = config.resolve(experiment, ["training.strategy=mirrored"])
    script = f"""
        apart = Workers(kind="processes", sizes=(1, 2), devices=(2, 2))
        for schedule, workers in (("simultaneous", None), ("decoupled", apart)):
            jobs.pretrain(
                config.resolve(experiment, ["training.schedule=" + schedule]),
                record_files({str(records)!r}, "train"),
                {str(tmp_path)!r} + "/" + schedule,
                tensorboard_dir={str(tmp_path / "tensorboard")!r},
                workers=workers,
            )
    """
    on_two_devices(experiment, script)
    whole, apart = tmp_path / "simultaneous", tmp_path / "decoupled"
    assert not differing(apart, whole)
    assert differing(whole, alone)
    assert trained_values(apart) == trained_values(whole)
