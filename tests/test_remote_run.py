"""A whole run behind a URL: the same as on a disk, and nothing on the disk."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gim_tf import config, experiments, jobs
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
def test_a_url_takes_export_probe_and_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    remote = as_path("ram://probed/run")
    put_idx(remote / "data")
    experiment = train(experiment_on(remote / "data"), remote)
    training = remote / "training"
    jobs.export(experiment, training, remote / "model")
    splits = [record_files(remote / "records", s) for s in ("train", "test")]
    probes = jobs.probe(
        experiment,
        remote / "model",
        *splits,
        remote / "probe",
        tensorboard_dir=remote / "tensorboard",
        controls_dir=remote / "controls",
    )
    images = tf.constant(np.arange(2 * 28 * 28).reshape(2, 28, 28, 1), "float")
    exported, served = (
        load_encoder(folder).signatures["tensor"](images=images)
        for folder in (remote / "model", remote / "probe" / "model")
    )
    for name, value in exported.items():
        np.testing.assert_array_equal(served[name], value)
    summary = jobs.write_report(
        experiment,
        jobs.Sources(
            data=str(remote / "records" / "ingest.json"),
            training=str(training),
            probes=str(remote / "probe"),
            tensorboard=str(remote / "tensorboard"),
        ),
        remote,
    )
    assert summary["probes"] == probes["tasks"]["class"]["modules"]
    assert jobs.report(remote)["probes"] == summary["probes"]
    assert "neurons.json" in files_below(remote / "probe")
    assert not list(Path().iterdir())


def names(root):
    """Files of ingest and training, without TensorBoard's, and the lock."""
    return [
        name
        for name in files_below(root)
        if name != "training/run.lock" and not name.startswith("tensorboard/")
    ]
