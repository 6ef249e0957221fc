"""A whole run behind a URL: the same as on a disk, and nothing on the disk."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gim_tf import config, experiments, jobs
from gim_tf.cli import main
from gim_tf.data.corpus import read_corpus
from gim_tf.data.records import record_files
from gim_tf.export.saved_model import load_encoder
from gim_tf.paths import as_path, files_below
from tests.conftest import TINY
from tests.source_files import idx

pytestmark = pytest.mark.integration

SETTINGS = (
    *TINY,
    "data.source=idx",
    "data.min_examples=1",
    "training.checkpoint_every=1",
    "training.log_every=1",
    "training.num_steps=4",
    "stack.encoder.planes=[4, 6]",
    "stack.encoder.depths=[1, 1]",
    "stack.module_sizes=[2, 1]",
    "probe.grid=False",
)


def put_idx(folder):
    """40 pictures to train on and 20 to test with."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for prefix, count in (("train", 40), ("t10k", 20)):
        images = generator.integers(0, 256, (count, 28, 28), np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))


def experiment_on(data):
    return config.resolve(
        experiments.get("fashion_mnist_gim"),
        [*SETTINGS, f"data.path={str(data)!r}"],
    )


def train(experiment, root):
    facts = jobs.ingest(experiment, root / "records")
    experiment = config.completed(experiment, read_corpus(root / "records"))
    jobs.pretrain(
        experiment,
        record_files(root / "records", experiment.data.pretrain_split),
        root / "training",
        tensorboard_dir=root / "tensorboard",
        data_fingerprint=facts["fingerprint"],
    )
    return experiment


def variables(root, step):
    reader = tf.compat.v1.train.NewCheckpointReader(
        str(root / "training" / f"ckpt-{step}")
    )
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def test_a_run_behind_a_url_is_the_run_on_a_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    local, remote = tmp_path / "run", as_path("ram://whole/run")
    for root in (local, remote):
        put_idx(root / "data")
    train(experiment_on(local / "data"), local)
    experiment = experiment_on(remote / "data")
    # As after a kill that cost the last checkpoint and half of the one before.
    train(experiment, remote)
    training = remote / "training"
    for path in training.iterdir():
        if path.name.startswith("ckpt-4."):
            path.unlink()
    (training / "ckpt-3.index").write_bytes(b"cut")
    experiment = train(experiment, remote)

    expected, found = variables(local, 4), variables(remote, 4)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert names(local) == names(remote)
    history = (training / "history.jsonl").read_text().splitlines()
    assert len(history) == 4
    assert {path.name for path in Path().iterdir()} == {"run"}


@pytest.mark.slow
def test_the_verbs_of_a_run_take_a_url(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = as_path("ram://verbs/run")
    put_idx(run / "data")
    words = [word for setting in SETTINGS for word in ("--set", setting)]
    output = ["--output-dir", str(run)]
    data = ["--data", str(run / "data")]
    for verb in (
        ["pretrain", "--experiment", "fashion_mnist_gim", *data, *words],
        ["export"],
        ["probe", "--controls", str(run / "controls")],
    ):
        assert main([*verb, *output]) == 0, capsys.readouterr().err
    images = tf.constant(np.arange(2 * 28 * 28).reshape(2, 28, 28, 1), "float")
    exported, served = (
        load_encoder(folder).signatures["tensor"](images=images)
        for folder in (run / "model", run / "probe" / "model")
    )
    for name, value in exported.items():
        np.testing.assert_array_equal(served[name], value)
    probes = json.loads((run / "probe" / "probes.json").read_text())
    capsys.readouterr()
    assert main(["report", *output]) == 0
    assert str(run / "report.html") in capsys.readouterr().out
    summary = json.loads((run / "summary.json").read_text())
    assert summary["probes"] == probes["tasks"]["class"]["modules"]
    assert {"module_1", "chance"} <= {
        p.name for p in (run / "tensorboard").iterdir()
    }
    assert len(list((run / "controls").iterdir())) == 2
    assert not list(Path().iterdir())


def names(root):
    """Files of ingest and training, without TensorBoard's, and the lock."""
    return [
        name
        for name in files_below(root)
        if name != "training/run.lock" and not name.startswith("tensorboard/")
    ]
