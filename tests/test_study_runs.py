"""Studies whose runs are trained: killed, gone on with, never repeated."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from gim_tf import config, experiments
from gim_tf.cli import main
from tests.conftest import TINY

pytestmark = pytest.mark.integration

SETTINGS = (
    *TINY,
    "training.num_steps=12",
    "training.checkpoint_every=4",
    "probe.grid=false",
    "data.source=folder",
    "data.holdout=0.2",
)
SYSTEMS, SEEDS = ("gim", "gim_n_1"), (0, 1)


def arguments(pictures, directory, *more, study="ablations"):
    settings = [w for s in SETTINGS for w in ("--set", s)]
    return [
        *("study", study, "--dataset", "fashion_mnist", "--jobs", "2"),
        *("--data", str(pictures), "--output-dir", str(directory)),
        *("--seeds", ",".join(map(str, SEEDS)), *settings, *more),
    ]


def only(*systems):
    return ("--systems", ",".join(systems))


def start(pictures, directory):
    """The study as a process of its own."""
    command = arguments(pictures, directory, *only(*SYSTEMS))
    return subprocess.Popen(
        [sys.executable, "-m", "gim_tf.cli", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def directories(directory):
    return [
        directory / "runs" / f"fashion_mnist_{system}" / f"seed_{seed}"
        for system in SYSTEMS
        for seed in SEEDS
    ]


def wait_for_checkpoint(process, directory):
    deadline = time.monotonic() + 300
    while not list(directory.glob("runs/*/*/training/ckpt-*.index")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "no checkpoint in 300 s"
        time.sleep(0.02)


def results(directory, study="ablations"):
    path = directory / f"{study}_fashion_mnist" / "results.json"
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def resumed(pictures, tmp_path_factory):
    """A study that was killed in training, and run again to its end."""
    directory = tmp_path_factory.mktemp("study")
    process = start(pictures, directory)
    wait_for_checkpoint(process, directory)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # Its children save and end by themselves; at once is soon enough.
    assert not any(
        (d / "summary.json").exists() for d in directories(directory)
    )
    command = arguments(pictures, directory, *only(*SYSTEMS))
    assert main(command) == 0
    return directory


def test_a_killed_study_goes_on(resumed):
    assert results(resumed)["missing"] == []
    logs = [(d / "log.txt").read_text() for d in directories(resumed)]
    assert any("Resuming after step" in log for log in logs)
    (records,) = (p for p in (resumed / "records").iterdir() if p.is_dir())
    for directory in directories(resumed):
        history = (directory / "training" / "history.jsonl").read_text()
        steps = [json.loads(line)["step"] for line in history.splitlines()]
        assert steps == list(range(2, 13, 2))
        shared, own = (
            folder / "Split-test" / "data_tfrecord-00000-of-00001.gz"
            for folder in (records, directory / "records")
        )
        assert own.samefile(shared)


def test_a_finished_run_is_not_repeated(resumed, pictures, capsys):
    stamps = [
        (d / "summary.json").stat().st_mtime_ns for d in directories(resumed)
    ]
    started = time.monotonic()
    command = arguments(pictures, resumed, *only(*SYSTEMS), "--json")
    assert main(command) == 0
    assert time.monotonic() - started < 5  # no TensorFlow, no training
    assert stamps == [
        (d / "summary.json").stat().st_mtime_ns for d in directories(resumed)
    ]
    printed = json.loads(capsys.readouterr().out)
    assert printed == results(resumed)


def test_every_run_is_a_trial_of_hparams(resumed):
    from tensorboard.backend.event_processing import (
        data_provider,
        plugin_event_multiplexer,
    )
    from tensorboard.context import RequestContext
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import (
        api_pb2,
        backend_context,
        list_session_groups,
    )

    events = plugin_event_multiplexer.EventMultiplexer()
    events.AddRunsFromDirectory(str(resumed / "runs"))
    events.Reload()
    provider = data_provider.MultiplexerDataProvider(events, str(resumed))
    context = backend_context.Context(
        base_plugin.TBContext(data_provider=provider, logdir=str(resumed))
    )
    handler = list_session_groups.Handler(
        RequestContext(),
        context,
        "",
        api_pb2.ListSessionGroupsRequest(
            slice_size=10, allowed_statuses=[api_pb2.STATUS_UNKNOWN]
        ),
    )
    groups = handler.run().session_groups
    found = {
        (
            group.hparams["stack.objective.num_negatives"].number_value,
            group.hparams["training.seed"].number_value,
        )
        for group in groups
    }
    assert found == {(16, 0), (16, 1), (1, 0), (1, 1)}
    assert len(groups) == 4


@pytest.mark.slow
def test_a_run_that_fails_does_not_stop_the_others(resumed, pictures, capsys):
    """A directory of other settings is refused by its run."""
    broken = resumed / "runs" / "fashion_mnist_gim_n_4" / "seed_0"
    (broken / "training").mkdir(parents=True)
    settings = config.to_dict(experiments.get("flite_gim"))
    (broken / "training" / "config.json").write_text(json.dumps(settings))
    command = arguments(pictures, resumed, *only("gim", "gim_n_4"))
    assert main(command) == 3
    said = capsys.readouterr().err
    assert "gim_n_4, seed 0: FAILED: gim: error:" in said
    assert "was started with other settings" in said
    assert "1 of 4 runs failed" in said
    assert results(resumed)["missing"] == ["gim_n_4, seed 0"]
    rows = results(resumed)["rows"]
    assert {(r["system"], r["seed"]) for r in rows} == {
        *(("gim", 0), ("gim", 1), ("gim_n_4", 1)),
    }


def test_studies_share_runs(resumed, pictures):
    gim = resumed / "runs" / "fashion_mnist_gim" / "seed_0" / "summary.json"
    stamp = gim.stat().st_mtime_ns
    command = arguments(pictures, resumed, *only("gim"), study="accuracy")
    assert main(command) == 0
    assert gim.stat().st_mtime_ns == stamp
    (row,) = (
        row
        for row in results(resumed, "accuracy")["tables"][0]["rows"]
        if row[0] == "Greedy InfoMax"
    )
    assert "+-" in row[1]


def test_controls_are_probed_once_a_seed(resumed):
    """And what a run has of them is what it would have found by itself."""
    kept = sorted(p.name for p in (resumed / "controls").iterdir())
    assert [name.split("-")[0] for name in kept] == [
        *("raw", "raw", "untrained", "untrained")
    ]
    run = resumed / "runs" / "fashion_mnist_gim_n_1" / "seed_1"
    shared = json.loads((run / "probe" / "probes.json").read_text())
    assert main(["probe", "--output-dir", str(run)]) == 0
    alone = json.loads((run / "probe" / "probes.json").read_text())
    assert alone == shared


@pytest.mark.slow
def test_schedules_are_measured(resumed, pictures):
    held_out = ("--set", "training.heldout_examples=8")
    command = arguments(pictures, resumed, *held_out, study="iterative")
    command[command.index("--seeds") + 1] = "0"
    assert main(command) == 0
    found = results(resumed, "iterative")
    schedules, losses = found["tables"]
    assert [row[:3] for row in schedules["rows"]] == [
        ["simultaneous", "12", "12"],
        ["sequential", "12", "36"],
    ]
    flops = {
        row["system"]: row["value"]
        for row in found["rows"]
        if row["metric"] == "flops_per_step"
    }
    # Lower modules are encoded with again and again.
    assert flops["sequential"] > flops["simultaneous"] > 0
    assert len(losses["rows"]) == 6
    assert all(float(row[3]) > 0 for row in losses["rows"])


def test_data_that_cannot_be_read_fail_every_run(tmp_path, capsys):
    command = arguments(tmp_path / "nothing", tmp_path / "out", *only("gim"))
    assert main(command) == 3
    said = capsys.readouterr().err
    assert said.count("FAILED") == 2
    assert "nothing" in said
    assert os.listdir(tmp_path / "out" / "ablations_fashion_mnist")
