"""An exported encoder of recordings: every loader, length and file format."""

import io

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from gim_tf import build, config, experiments, jobs
from gim_tf.data import records, windows
from gim_tf.data.shards import ShardWriter
from gim_tf.export.saved_model import (
    Head,
    load_encoder,
    save_flac_variant,
    save_sequence_classifier,
)
from gim_tf.export.sequences import frames_only
from tests.conftest import TINY_SEQUENCE

LENGTHS = (1600, 4000, 2345)
MODULES = [f"module_{index}" for index in range(1, 7)]
HEADS = {
    "classify",
    "classify_examples",
    "classify_frames",
    "classify_frames_examples",
}
INPUTS = ("audio_bytes", "samples", "examples")


def drawn(length, seed=0):
    """int16 noise, the extreme values among it."""
    x = np.random.default_rng(seed).normal(size=length) * 3000
    x[:2] = -32768, 32767
    return x.astype(np.int16)


RECORDINGS = [drawn(length, seed) for seed, length in enumerate(LENGTHS)]


def encoded(samples, file_format="WAV", rate=16_000, subtype="PCM_16"):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, subtype, format=file_format)
    return buffer.getvalue()


def example(content):
    return records.to_example(records.Record("a", 0, "train", content))


def head(width, seed):
    kernel = np.random.default_rng(seed).normal(size=(width, 3)).astype("f")
    return Head(kernel, np.array([0.1, 0.2, 0.3], "f"), ["a", "b", "c"])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """One tiny run: its experiment, and its exports with and without FLAC."""
    experiment = config.resolve(
        experiments.get("librispeech_gim"),
        [*TINY_SEQUENCE, "training.num_steps=1", "training.batch_size=2"],
    )
    directory = tmp_path_factory.mktemp("run")
    with ShardWriter(directory / "records" / "Split-train") as writer:
        for samples in RECORDINGS:
            writer.write(example(encoded(samples)))
    jobs.pretrain(
        experiment,
        records.record_files(directory / "records", "train"),
        directory / "training",
        tensorboard_dir=directory / "tensorboard",
    )
    jobs.export(
        experiment,
        directory / "training",
        directory / "core",
        flac_dir=directory / "core_flac",
    )
    save_sequence_classifier(
        directory / "core",
        directory / "heads",
        module="module_6",
        example_head=head(5, 1),
        frame_head=head(5, 2),
        facts={"probes": {}},
    )
    save_flac_variant(directory / "heads", directory / "heads_flac")
    return experiment, directory


@pytest.fixture(scope="module")
def loaded(models):
    """The signatures of all four exports, by name."""
    _, directory = models
    names = ("core", "core_flac", "heads", "heads_flac")
    return {name: load_encoder(directory / name).signatures for name in names}


def restored(models):
    experiment, directory = models
    return jobs.exporting.restored(experiment, directory / "training")[0]


def trained_frames(models, samples):
    """As in training: frames of a recording, eagerly, and normalised there."""
    experiment, _ = models
    frames = build.build_frames(experiment, restored(models))
    view = experiment.view
    x = (tf.constant(samples / 32768, tf.float32) - view.mean) / view.std
    return {k: v[0] for k, v in frames(x[None, :, None, None]).items()}


def run_tf1(path, inputs):
    """Every signature through the loader of TF Serving and Beam."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.loader.load(
            session, ["serve"], str(path)
        )
        found = {}
        for name, signature in meta.signature_def.items():
            if name.startswith("__"):
                continue
            ((argument, tensor),) = signature.inputs.items()
            fetches = {k: t.name for k, t in signature.outputs.items()}
            found[name] = session.run(fetches, {tensor.name: inputs[argument]})
        return found


def operations(path):
    """Names of all operations in the graph and in its functions."""
    model = SavedModel()
    model.ParseFromString((path / "saved_model.pb").read_bytes())
    (meta,) = model.meta_graphs
    nodes = list(meta.graph_def.node)
    for function in meta.graph_def.library.function:
        nodes += function.node_def
    return {node.op for node in nodes}


@pytest.mark.parametrize("file_format", ["WAV", "FLAC"])
def test_served_features_are_those_of_training(models, loaded, file_format):
    files = [encoded(samples, file_format) for samples in RECORDINGS]
    encode = loaded["core" if file_format == "WAV" else "core_flac"]
    found = encode["serving_default"](audio_bytes=tf.constant(files))
    assert set(found) == {
        *MODULES,
        *(f"{name}_frames" for name in MODULES),
        "num_frames",
    }
    for index, samples in enumerate(RECORDINGS):
        expected = trained_frames(models, samples)
        for name, frames in expected.items():
            served = found[f"{name}_frames"][index].numpy()
            count = int(found["num_frames"][index])
            assert count == len(frames)
            np.testing.assert_allclose(served[:count], frames, atol=1e-6)
            np.testing.assert_array_equal(served[count:], 0)
            np.testing.assert_allclose(
                found[name][index], frames.numpy().mean(0), atol=1e-6
            )


def test_a_training_view_is_what_is_served_of_the_same_samples(models, loaded):
    experiment, _ = models
    content = tf.constant(encoded(RECORDINGS[0]))  # as long as a view
    decode = build.build_decode_one(experiment)
    view = windows.training_view(decode(content), (1, 2), experiment.view)
    grid = build.build_to_grid(experiment)(view[None])
    expected = build.build_frames(experiment, restored(models))(grid)
    found = loaded["core"]["serving_default"](audio_bytes=content[None])
    for name, frames in frames_only(found).items():
        np.testing.assert_allclose(frames, expected[name], atol=1e-6)


@pytest.mark.parametrize("name", ["core", "core_flac"])
def test_a_recording_of_a_batch_has_the_answer_that_it_has_alone(loaded, name):
    encode = loaded[name]["serving_default"]
    files = [encoded(samples) for samples in RECORDINGS]
    together = encode(audio_bytes=tf.constant(files))
    for index, content in enumerate(files):
        alone = encode(audio_bytes=tf.constant([content]))
        count = int(alone["num_frames"][0])
        for key, value in alone.items():
            shared = together[key][index]
            if key in frames_only(together) or key.endswith("_frames"):
                shared = shared[:count] if shared.shape.rank else shared
            np.testing.assert_array_equal(shared, value[0], err_msg=key)


def test_samples_and_records_have_the_same_answers(loaded):
    samples = np.stack([drawn(2000, 7), drawn(2000, 8)])
    files = tf.constant([encoded(one) for one in samples])
    encode = loaded["core"]
    expected = encode["serving_default"](audio_bytes=files)
    by_tensor = encode["tensor"](samples=tf.constant(samples / 32768, "float"))
    serialized = tf.constant([example(one) for one in files.numpy()])
    by_example = encode["examples"](examples=serialized)
    for key, value in expected.items():
        np.testing.assert_allclose(by_tensor[key], value, atol=1e-6)
        np.testing.assert_array_equal(by_example[key], value)


@pytest.mark.parametrize("name", ["core", "core_flac", "heads", "heads_flac"])
def test_the_tf1_style_loader_gives_the_same_answers(models, loaded, name):
    _, directory = models
    file_format = "FLAC" if name.endswith("flac") else "WAV"
    files = [
        encoded(one, f)
        for one, f in zip(RECORDINGS, ("WAV", file_format, file_format))
    ]
    inputs = {
        "audio_bytes": files,
        "samples": np.stack([drawn(900), drawn(900, 1)]) / np.float32(32768),
        "examples": [example(one) for one in files],
    }
    found = run_tf1(directory / name, inputs)
    modern = loaded[name]
    expected_names = {"serving_default", "tensor", "examples"}
    assert set(modern) == set(found)
    assert set(found) == expected_names | (
        HEADS if name.startswith("heads") else set()
    )
    for signature, values in found.items():
        ((argument, _),) = (
            modern[signature].structured_input_signature[1].items()
        )
        expected = modern[signature](
            **{argument: tf.constant(inputs[argument])}
        )
        assert set(values) == set(expected)
        for key, value in values.items():
            if value.dtype == np.float32:
                np.testing.assert_allclose(value, expected[key], atol=1e-6)
            else:
                np.testing.assert_array_equal(value, expected[key])
