"""What is exported answers the same through every loader, or is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build, jobs
from gim_tf.data.records import record_files
from gim_tf.errors import ExportError
from gim_tf.export.manifest import verify_manifest
from gim_tf.export.saved_model import load_encoder, save_flac_variant
from tests.conftest import TINY, png
from tests.saved_models import assert_tf1_loader_agrees

pytestmark = pytest.mark.integration

ENCODER = {"serving_default", "tensor", "examples", "grid"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """One tiny run, trained, exported and probed, for the whole file."""
    from gim_tf import config, experiments

    directory = tmp_path_factory.mktemp("run")
    experiment = config.resolve(
        experiments.get("fashion_mnist_gim"),
        [*TINY, "training.num_steps=2", "probe.grid=False"],
    )
    pixels = write_records(directory / "records")
    train = record_files(directory / "records", "train")
    test = record_files(directory / "records", "test")
    logs = directory / "tensorboard"
    jobs.pretrain(
        experiment, train, directory / "training", tensorboard_dir=logs
    )
    jobs.export(experiment, directory / "training", directory / "model")
    result = jobs.probe(
        experiment,
        directory / "model",
        train,
        test,
        directory / "probe",
        tensorboard_dir=logs,
    )
    return experiment, directory, pixels, result


def write_records(directory):
    from gim_tf.data import records
    from gim_tf.data.shards import ShardWriter

    pixels = np.random.default_rng(1).integers(0, 256, (40, 28, 28, 1))
    pixels = pixels.astype(np.uint8)
    for split in ("train", "test"):
        with ShardWriter(directory / f"Split-{split}") as writer:
            for index, one in enumerate(pixels):
                record = records.Record(
                    f"{split}/{index}", index % 10, split, png(one)
                )
                writer.write(records.to_example(record))
    return pixels


def examples_of(directory, count):
    (file,) = record_files(directory / "records", "train")
    dataset = tf.data.TFRecordDataset(file, "GZIP")
    return [e.numpy() for e in dataset.take(count)]


def test_every_signature_gives_the_trained_stack_s_answer(exported):
    experiment, directory, pixels, _ = exported
    encoder = load_encoder(directory / "model")
    assert set(encoder.signatures) == ENCODER
    images = tf.constant(pixels[:3], tf.float32)
    encoded = tf.constant([png(p) for p in pixels[:3]])
    serialized = tf.constant(examples_of(directory, 3))
    by_bytes = encoder.signatures["serving_default"](image_bytes=encoded)
    by_tensor = encoder.signatures["tensor"](images=images)
    by_example = encoder.signatures["examples"](examples=serialized)
    by_grid = encoder.signatures["grid"](images=images)
    stack = restored(experiment, directory)
    expected = stack(build.build_preprocess(experiment).to_grid(images))
    assert set(by_bytes) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(by_tensor[name], value, atol=1e-6)
        np.testing.assert_array_equal(by_bytes[name], by_tensor[name])
        np.testing.assert_array_equal(by_example[name], by_tensor[name])
        np.testing.assert_allclose(
            by_grid[name].numpy().mean((1, 2)), value, atol=1e-5
        )


def test_the_card_beside_the_heads_can_be_made_again(exported):
    from gim_tf.inspection import model_card

    _, directory, _, _ = exported
    model = directory / "probe" / "model"
    manifest = verify_manifest(model)
    probes = json.loads((directory / "probe" / "probes.json").read_text())
    for name, text in model_card.render(manifest, probes).items():
        assert name in manifest["files"]
        assert (model / name).read_text() == text
    assert not (directory / "model" / model_card.HTML).exists()


def test_the_probe_watches_the_test_split_as_the_command_does(
    exported, tmp_path
):
    from gim_tf import jobs

    _, directory, _, _ = exported
    seen = json.loads((directory / "probe" / "neurons.json").read_text())
    assert len(seen) == 4 * 3
    again = jobs.neurons(
        directory / "probe" / "model",
        directory / "records",
        tmp_path / "neurons.png",
    )
    assert json.loads((tmp_path / "neurons.json").read_text()) == seen
    picture = directory / "probe" / "pictures" / "neurons.png"
    assert picture.read_bytes() == again.png


def restored(experiment, directory):
    from gim_tf.training.checkpoints import RunCheckpoints

    stack = build.build_stack(experiment)
    trainer = build.build_trainer(experiment, stack)
    RunCheckpoints(directory / "training", trainer).restore_latest()
    return stack


@pytest.mark.parametrize("where", ["model", "probe/model"])
def test_the_tf1_style_loader_gives_the_same_answers(exported, where):
    _, directory, pixels, _ = exported
    path = str(directory / where)
    modern = load_encoder(path).signatures
    inputs = {
        "image_bytes": [png(p) for p in pixels[:2]],
        "images": pixels[:2].astype(np.float32),
        "examples": examples_of(directory, 2),
    }
    assert_tf1_loader_agrees(path, modern, inputs)


def test_the_classifier_is_the_probed_encoder_with_the_probe_s_head(exported):
    _, directory, pixels, result = exported
    encoder = load_encoder(directory / "model").signatures
    classifier = load_encoder(directory / "probe" / "model").signatures
    assert set(classifier) == ENCODER | {"classify", "classify_examples"}
    encoded = tf.constant([png(p) for p in pixels])
    before = encoder["serving_default"](image_bytes=encoded)
    after = classifier["serving_default"](image_bytes=encoded)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)
    found = classifier["classify"](image_bytes=encoded)
    np.testing.assert_allclose(
        found["scores"].numpy().sum(1), np.ones(40), atol=1e-5
    )
    index = found["class_index"].numpy()
    labels = np.arange(40) % 10
    assert np.mean(index == labels) == pytest.approx(
        result["tasks"]["class"]["modules"]["module_3"]["linear_top1"], abs=0.03
    )
    names = [result["tasks"]["class"]["class_names"][i].encode() for i in index]
    assert found["class_name"].numpy().tolist() == names


def test_an_empty_batch_is_refused_by_every_signature(exported):
    _, directory, _, _ = exported
    signatures = load_encoder(directory / "probe" / "model").signatures
    for function in signatures.values():
        ((argument, spec),) = function.structured_input_signature[1].items()
        empty = tf.zeros((0, *spec.shape[1:]), spec.dtype)
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="batch is empty"
        ):
            function(**{argument: empty})


def test_the_manifest_tells_what_the_export_is(exported):
    experiment, directory, _, _ = exported
    manifest = verify_manifest(directory / "probe" / "model")
    assert manifest["experiment"]["name"] == experiment.name
    assert manifest["step"] == 2
    assert manifest["versions"]["tensorflow"] == tf.__version__
    assert "module_3" in manifest["probes"]
    asset = directory / "model" / "assets.extra" / "experiment.json"
    assert json.loads(asset.read_text()) == manifest["experiment"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: (d / "saved_model.pb").unlink(), "saved_model.pb is miss"),
        (lambda d: (d / "extra").write_text("x"), "extra is not in the mani"),
        (
            lambda d: (d / "saved_model.pb").write_bytes(b"x"),
            "saved_model.pb is altered",
        ),
        (lambda d: (d / "manifest.json").unlink(), "no exported encoder"),
        (lambda d: (d / "manifest.json").write_text("{"), "cannot be read"),
    ],
)
def test_security_what_is_not_as_it_was_written_is_refused(
    exported, tmp_path, change, message
):
    _, directory, _, _ = exported
    copy = tmp_path / "model"
    shutil.copytree(directory / "model", copy)
    change(copy)
    with pytest.raises(ExportError, match=message):
        load_encoder(copy)


def test_pictures_have_no_flac_variant(exported, tmp_path):
    _, directory, _, _ = exported
    with pytest.raises(ExportError, match="only an export of an encoder of"):
        save_flac_variant(directory / "model", tmp_path / "model_flac")
    assert not list(tmp_path.iterdir())


def test_embedding_files_names_the_one_that_is_damaged(exported, tmp_path):
    from gim_tf.errors import DataError

    experiment, directory, pixels, _ = exported
    files = []
    for index, one in enumerate(pixels[:3]):
        files.append(tmp_path / f"picture {index}.png")
        files[-1].write_bytes(png(one))
    output = tmp_path / "embeddings.npz"
    assert jobs.embed(files, directory / "model", output) == 3
    found = np.load(output)
    assert found["id"].tolist() == [str(f) for f in files]
    stack = restored(experiment, directory)
    to_grid = build.build_preprocess(experiment).to_grid
    expected = stack(to_grid(tf.constant(pixels[:3], tf.float32)))
    np.testing.assert_allclose(
        found["module_3"], expected["module_3"], atol=1e-6
    )
    files[1].write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"picture 1\.png cannot be decoded"):
        jobs.embed(files, directory / "model", output)


def test_the_report_of_a_library_run_can_be_written_again(exported):
    experiment, directory, _, result = exported
    (directory / "ingest.json").write_text(
        json.dumps(
            {
                "counts": {"train": 40, "test": 40},
                "fingerprint": "f",
                "num_rejected": 0,
            }
        )
    )
    sources = jobs.Sources(
        data=str(directory / "ingest.json"),
        training=str(directory / "training"),
        probes=str(directory / "probe"),
        tensorboard=str(directory / "tensorboard"),
    )
    summary = jobs.write_report(experiment, sources, directory)
    assert summary["probes"] == result["tasks"]["class"]["modules"]
    assert summary["data"]["train"] == 40
    page = (directory / "report.html").read_text()
    (directory / "report.html").unlink()
    assert jobs.report(directory) == summary
    assert (directory / "report.html").read_text() == page


def test_saved_model_cli_runs_a_signature(exported, tmp_path):
    _, directory, pixels, _ = exported
    np.save(tmp_path / "images.npy", pixels[:2].astype(np.float32))
    tool = Path(sys.executable).with_name("saved_model_cli")
    subprocess.run(
        [
            *(tool, "run", "--dir", directory / "model"),
            *("--tag_set", "serve", "--signature_def", "tensor"),
            *("--inputs", f"images={tmp_path / 'images.npy'}"),
            *("--outdir", tmp_path),
        ],
        check=True,
        capture_output=True,
    )
    signature = load_encoder(directory / "model").signatures["tensor"]
    expected = signature(images=tf.constant(pixels[:2], tf.float32))
    for name, value in expected.items():
        np.testing.assert_allclose(
            np.load(tmp_path / f"{name}.npy"), value, atol=1e-6
        )
