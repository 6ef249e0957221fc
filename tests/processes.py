"""The `gim` command as a process of its own: started, awaited, ended."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from gim_tf.training.run_directory import RunDirectory
from tests import saved_runs
from tests.conftest import TINY

ROOT = Path(__file__).parents[1]
# Of a busy machine: an import of TensorFlow alone took 90 s on one.
PATIENCE = 900
SETTINGS = (
    *TINY,
    "training.num_steps=40",
    "training.checkpoint_every=3",
    "training.log_every=4",
    "data.source=folder",
    "data.holdout=0.2",
)


def start(
    pictures,
    run,
    *settings,
    verb=("pretrain",),
    name="fashion_mnist_gim",
    environment=None,
):
    """A verb on a tiny experiment; `settings` are on top of `SETTINGS`."""
    words = [
        word
        for setting in (*SETTINGS, *settings)
        if "supervised" not in name or "objective" not in setting
        for word in ("--set", setting)
    ]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "gim_tf.cli", *verb),
            *("--experiment", name, "--output-dir", str(run)),
            *("--data", str(pictures), *words),
        ],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, *processes):
    """Until it holds; none of the processes may end before."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        for process in processes:
            assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)


def wait_beyond(run, step, *processes):
    """Until there is a checkpoint of a later step."""
    wait_for(lambda: newest(run) > step, *processes)


def kill(process):
    """`kill -9`, and all that is left of it."""
    process.kill()
    process.communicate()


def ended(*processes):
    """[(exit code, standard error)]; nobody may hang."""
    deadline = time.monotonic() + PATIENCE
    found = []
    try:
        for process in processes:
            left = max(1.0, deadline - time.monotonic())
            _, errors = process.communicate(timeout=left)
            found.append((process.returncode, errors))
    finally:
        for process in processes:
            process.kill()
    return found


def finish(*processes):
    """What all wrote to standard error; each has to end well."""
    found = ended(*processes)
    for code, errors in found:
        assert code == 0, errors
    return "".join(errors for _, errors in found)


def said(errors):
    """The error of the command; TensorFlow may write behind it."""
    (found,) = re.findall("gim: error: (.*)", errors)
    return found


def newest(run):
    """Step of the run's newest checkpoint; 0 where there is none."""
    return saved_runs.newest(run / "training")


def differing(one, other):
    """Names of the variables whose bytes are not the same in both runs."""
    return saved_runs.differing(one / "training", other / "training")


def steps_of(run):
    """The steps of the lines of a run's history."""
    history = RunDirectory(run / "training").history()
    return [line["step"] for line in history]
