"""An exported encoder of recordings: every loader, length and file format."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from gim_tf import build, config, experiments, jobs
from gim_tf.data import records, windows
from gim_tf.data.shards import ShardWriter
from gim_tf.errors import DataError, ExportError
from gim_tf.export.manifest import verify_manifest
from gim_tf.export.saved_model import (
    Head,
    load_encoder,
    save_flac_variant,
    save_sequence_classifier,
)
from gim_tf.export.sequences import SequenceClassifier, frames_only
from tests.conftest import TINY_SEQUENCE
from tests.saved_models import answer, assert_tf1_loader_agrees

pytestmark = pytest.mark.integration

LENGTHS = (1600, 4000, 2345)
MODULES = [f"module_{index}" for index in range(1, 7)]
ENCODER = {"serving_default", "tensor", "examples"}
HEADS = {
    "classify",
    "classify_examples",
    "classify_frames",
    "classify_frames_examples",
}


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
    jobs.export(experiment, directory / "training", directory / "core")
    jobs.export_flac(directory / "core", directory / "core_flac")
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


@pytest.fixture(scope="module")
def frames_of(models):
    """Frames of a normalised grid by the trained stack, eagerly."""
    experiment, directory = models
    stack, _ = jobs.exporting.restored(experiment, directory / "training")
    return build.build_frames(experiment, stack)


def trained_frames(frames_of, experiment, samples):
    """The frames of a recording, normalised here."""
    view = experiment.view
    x = (tf.constant(samples / 32768, tf.float32) - view.mean) / view.std
    return {k: v[0] for k, v in frames_of(x[None, :, None, None]).items()}


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
def test_S6_served_features_are_those_of_training(
    models, frames_of, loaded, file_format
):
    files = [encoded(samples, file_format) for samples in RECORDINGS]
    encode = loaded["core" if file_format == "WAV" else "core_flac"]
    found = encode["serving_default"](audio_bytes=tf.constant(files))
    assert set(found) == {
        *MODULES,
        *(f"{name}_frames" for name in MODULES),
        "num_frames",
    }
    for index, samples in enumerate(RECORDINGS):
        expected = trained_frames(frames_of, models[0], samples)
        for name, frames in expected.items():
            served = found[f"{name}_frames"][index].numpy()
            count = int(found["num_frames"][index])
            assert count == len(frames)
            np.testing.assert_allclose(served[:count], frames, atol=1e-6)
            np.testing.assert_array_equal(served[count:], 0)
            np.testing.assert_allclose(
                found[name][index], frames.numpy().mean(0), atol=1e-6
            )


def test_a_training_view_is_what_is_served_of_the_same_samples(
    models, frames_of, loaded
):
    experiment, _ = models
    content = tf.constant(encoded(RECORDINGS[0]))  # as long as a view
    decode = build.build_decode_one(experiment)
    view = windows.training_view(decode(content), (1, 2), experiment.view)
    grid = build.build_to_grid(experiment)(view[None])
    expected = frames_of(grid)
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
            if shared.shape.rank == 2:  # frames, padded
                shared = shared[:count]
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


@pytest.mark.parametrize(
    ("name", "signatures"),
    [
        ("core", ENCODER),
        ("core_flac", ENCODER),
        ("heads", HEADS),
        ("heads_flac", {"classify_examples", "classify_frames"}),
    ],
)
def test_the_tf1_style_loader_gives_the_same_answers(
    models, loaded, name, signatures
):
    _, directory = models
    kinds = ("WAV", "FLAC", "FLAC") if "flac" in name else ("WAV",) * 3
    files = [encoded(*one) for one in zip(RECORDINGS, kinds, strict=True)]
    inputs = {
        "audio_bytes": files,
        "samples": np.stack([drawn(900), drawn(900, 1)]) / np.float32(32768),
        "examples": [example(one) for one in files],
    }
    heads = HEADS if name.startswith("heads") else set()
    assert set(loaded[name]) == ENCODER | heads
    compared = {key: loaded[name][key] for key in signatures}
    assert_tf1_loader_agrees(directory / name, compared, inputs)


def test_only_the_flac_variant_holds_foreign_operations(models):
    _, directory = models

    def foreign(name):
        return {op for op in operations(directory / name) if ">" in op}

    assert not foreign("core")
    assert not foreign("heads")
    assert foreign("core_flac") == {"IO>AudioDecodeFlac"}
    assert foreign("heads_flac") == {"IO>AudioDecodeFlac"}


def test_the_flac_variant_has_the_weights_of_what_it_is_made_from(models):
    _, directory = models

    def weights(name):
        path = str(directory / name / "variables" / "variables")
        reader = tf.train.load_checkpoint(path)
        keys = sorted(reader.get_variable_to_shape_map())
        values = (reader.get_tensor(k) for k in keys if "OBJECT" not in k)
        return sorted(value.tobytes() for value in values)

    assert weights("core") == weights("core_flac")
    assert weights("heads") == weights("heads_flac")


def test_the_manifest_tells_where_frames_stand(models):
    experiment, directory = models
    manifest = verify_manifest(directory / "heads_flac")
    assert manifest["frames"] == {
        "hop": 160,
        "first": 20,
        "sample_rate": 16_000,
        "min_samples": 41,
    }
    assert manifest["requires"] == ["tensorflow-io"]
    assert manifest["probes"] == {}
    assert manifest["experiment"]["name"] == experiment.name
    for name in ("core", "heads"):
        assert "requires" not in verify_manifest(directory / name)


def test_the_flac_variant_has_a_card_that_its_manifest_covers(models):
    _, directory = models
    text = (directory / "core_flac" / "MODEL_CARD.md").read_text()
    assert "FLAC besides WAV" in text
    assert "only where tensorflow-io is installed" in text
    files = verify_manifest(directory / "core_flac")["files"]
    assert {"MODEL_CARD.md", "MODEL_CARD.html"} <= files.keys()


def test_heads_read_the_last_module(loaded):
    files = tf.constant([encoded(samples) for samples in RECORDINGS])
    features = loaded["core"]["serving_default"](audio_bytes=files)
    count = features["num_frames"].numpy()
    whole = loaded["heads"]["classify"](audio_bytes=files)
    kernel, bias, names = head(5, 1)
    logits = features["module_6"] @ kernel + bias
    np.testing.assert_allclose(
        whole["scores"], tf.nn.softmax(logits), atol=1e-6
    )
    assert whole["class_name"].numpy().tolist() == [
        names[i].encode() for i in logits.numpy().argmax(1)
    ]
    framed = loaded["heads"]["classify_frames"](audio_bytes=files)
    kernel, bias, names = head(5, 2)
    logits = features["module_6_frames"] @ kernel + bias
    np.testing.assert_array_equal(framed["num_frames"], count)
    for i, n in enumerate(count):
        best = logits[i, :n].numpy().argmax(1)
        scores = tf.nn.softmax(logits[i, :n])
        found = {key: value[i].numpy() for key, value in framed.items()}
        np.testing.assert_allclose(found["scores"][:n], scores, atol=1e-6)
        np.testing.assert_array_equal(found["scores"][n:], 0)
        np.testing.assert_array_equal(found["class_index"][:n], best)
        np.testing.assert_array_equal(found["class_index"][n:], -1)
        behind = [b""] * (found["class_name"].size - n)
        expected = [names[k].encode() for k in best] + behind
        assert found["class_name"].tolist() == expected


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ("example_head", {"classify", "classify_examples"}),
        ("frame_head", {"classify_frames", "classify_frames_examples"}),
    ],
)
def test_either_head_may_be_missing(models, given, added):
    encoder = load_encoder(models[1] / "core")
    one = SequenceClassifier(encoder, module="module_6", **{given: head(5, 1)})
    assert set(one.signatures()) == ENCODER | added
    with pytest.raises(ValueError, match="example_head, frame_head or both"):
        SequenceClassifier(encoder, module="module_6")


STEREO = np.stack([RECORDINGS[0]] * 2, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encoded(RECORDINGS[0], rate=8000), "rate of 16000, received. .8000."),
        (encoded(STEREO), "one channel, received. .2."),
        (encoded(RECORDINGS[0][:40]), "at least 41 samples, received. .40."),
        (encoded(RECORDINGS[0][:0]), "at least 41 samples, received. .0."),
        (encoded(RECORDINGS[0], subtype="PCM_24"), "16-bit WAV"),
        (encoded(RECORDINGS[0])[:-9], "too short"),
        (encoded(RECORDINGS[0], "FLAC"), "FLAC needs a model of the FLAC var"),
        (b"", "Expected a WAV file"),
    ],
)
def test_what_is_not_such_a_recording_is_refused(loaded, content, message):
    good = encoded(RECORDINGS[0])
    inputs = {
        "audio_bytes": [good, content],
        "examples": [example(good), example(content)],
    }
    for name in ("serving_default", "examples"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            answer(loaded["core"][name], inputs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encoded(RECORDINGS[0], "FLAC", 8000), "rate of 16000, received"),
        (encoded(STEREO, "FLAC"), "one channel, received. .2."),
        (encoded(RECORDINGS[0], "FLAC", 16_000, "PCM_24"), "16 bits a sample"),
        (encoded(RECORDINGS[0][:40], "FLAC"), "at least 41 samples"),
        (encoded(RECORDINGS[0], "FLAC")[:30], "received its beginning"),
    ],
)
def test_the_flac_variant_refuses_likewise(loaded, content, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        loaded["core_flac"]["serving_default"](
            audio_bytes=tf.constant([content])
        )


def test_samples_that_are_no_recording_are_refused(loaded):
    encode = loaded["core"]["tensor"]
    assert encode(samples=tf.zeros((1, 41)))["num_frames"].numpy() == [1]
    for bad, message in (
        (np.zeros((2, 40)), "at least 41 samples"),
        (np.zeros((2, 0)), "at least 41 samples"),
        (np.full((1, 90), np.nan), "finite numbers"),
        (np.full((1, 90), np.inf), "finite numbers"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            encode(samples=tf.constant(bad, tf.float32))


def test_an_empty_batch_is_refused_by_every_signature(loaded):
    empty = {
        "audio_bytes": tf.zeros((0,), tf.string),
        "examples": tf.zeros((0,), tf.string),
        "samples": tf.zeros((0, 900)),
    }
    for function in loaded["heads_flac"].values():
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="batch is empty"
        ):
            answer(function, empty)


def test_nothing_is_printed_at_the_first_answer(models, capfd):
    """TensorFlow's cost model would warn of a softmax of unknown rank."""
    _, directory = models
    signatures = load_encoder(directory / "heads").signatures
    capfd.readouterr()
    for name in ("classify", "classify_frames"):
        answer(signatures[name], {"audio_bytes": [encoded(RECORDINGS[0])]})
    assert "op_level_cost_estimator" not in capfd.readouterr().err


@pytest.mark.slow
def test_tensorflow_io_is_imported_by_what_needs_it_alone(models, tmp_path):
    _, directory = models
    file = tmp_path / "a.flac"
    file.write_bytes(encoded(RECORDINGS[0], "FLAC"))
    script = f"""
import sys, tensorflow as tf
from gim_tf.export.saved_model import load_encoder
load_encoder({str(directory / "heads")!r})
assert "tensorflow_io" not in sys.modules
loaded = load_encoder({str(directory / "heads_flac")!r})
assert "tensorflow_io" in sys.modules
files = tf.constant([tf.io.read_file({str(file)!r}).numpy()])
print(loaded.signatures["classify"](audio_bytes=files)["class_name"].numpy())
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() in ("[b'a']", "[b'b']", "[b'c']")


def test_a_machine_without_tensorflow_io_is_told_so(models, monkeypatch):
    _, directory = models
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    with pytest.raises(ExportError, match="needs tensorflow-io") as caught:
        load_encoder(directory / "core_flac")
    assert "\n" not in str(caught.value)
    load_encoder(directory / "core")


def test_files_of_all_formats_have_the_same_embedding(
    models, frames_of, tmp_path
):
    _, directory = models
    samples = RECORDINGS[1]
    contents = {
        "a.wav": encoded(samples),
        "b.flac": encoded(samples, "FLAC"),
        "c.flac": encoded(
            samples.astype(np.int32) * 2**16, "FLAC", 16_000, "PCM_24"
        ),
        "d.wav": encoded(samples / 32768, "WAV", 16_000, "FLOAT"),
        "e.wav": encoded(samples, "WAVEX"),
        "f.wav": encoded(RECORDINGS[2]),
    }
    files = [tmp_path / name for name in contents]
    for file, content in zip(files, contents.values(), strict=True):
        file.write_bytes(content)
    output = tmp_path / "embeddings.npz"
    assert jobs.embed(files, directory / "heads", output) == 6
    found = np.load(output)
    assert set(found) == {"id", *MODULES}
    expected = trained_frames(frames_of, models[0], samples)
    for name, frames in expected.items():
        rows = found[name]
        np.testing.assert_allclose(rows[0], frames.numpy().mean(0), atol=1e-6)
        np.testing.assert_array_equal(rows[1:5], rows[[0] * 4])
        assert not np.allclose(rows[5], rows[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encoded(RECORDINGS[0], rate=8000), "rate of 16000, received 8000"),
        (encoded(STEREO, "FLAC"), "one channel, received 2"),
        (encoded(RECORDINGS[0][:7], "FLAC"), "at least 41 samples, received 7"),
        (encoded(RECORDINGS[0])[:-9], "no WAV, FLAC or OGG file, or it is dam"),
        (b"no recording", "no WAV, FLAC or OGG file, or it is damaged"),
        (encoded(RECORDINGS[0], "FLAC")[:-99], "no WAV, FLAC or OGG file, or"),
    ],
)
def test_embedding_names_the_file_and_the_reason(
    models, tmp_path, content, message
):
    _, directory = models
    file = tmp_path / "some sound"
    file.write_bytes(content)
    with pytest.raises(
        DataError, match=rf"some sound cannot be decoded: .*{message}[^\]]*\.$"
    ):
        jobs.embed([file], directory / "core", tmp_path / "out.npz")
