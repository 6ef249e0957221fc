"""Speech from recordings to a report: what is probed is what is exported."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build, config, experiments, jobs
from gim_tf.data import records
from gim_tf.data.corpus import read_corpus
from gim_tf.data.input_pipeline import training_batches
from gim_tf.errors import ConfigError
from gim_tf.export.saved_model import load_encoder, signature_function
from gim_tf.inspection.summary_table import summarise_table
from tests.conftest import TINY_SEQUENCE
from tests.speech_files import encode

pytestmark = pytest.mark.integration

SMALL = (
    *(s for s in TINY_SEQUENCE if not s.startswith("view")),
    "view.length=4000",
    "training.num_steps=2",
    "training.log_every=1",
    "training.checkpoint_every=2",
    "probe.phone.epochs=2",
    "probe.speaker.epochs=2",
    "probe.voice_folds=2",
)
VOICES = ("high", "low")


def corpus(folder):
    """Eight recordings of two voices, that say three phones."""
    generator = np.random.default_rng(0)
    lines = []
    for voice, pitch in enumerate((400.0, 150.0)):
        for number in range(4):
            name = f"{voice + 1}-1-{number:04d}"
            phones = generator.integers(0, 3, 12)
            held = np.repeat(phones, 800)
            time = np.arange(len(held)) / 16_000
            samples = np.sin(2 * np.pi * pitch * (held + 1) * time)
            samples += 0.05 * generator.normal(size=len(held))
            path = folder / f"{voice + 1}" / "1" / f"{name}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode((8000 * samples).astype(np.int16)))
            # The last two are lacking, as they may.
            count = 1 + (len(held) - 400) // 160 - 2
            centres = 160 * np.arange(count) + 200
            lines.append(" ".join([name, *map(str, held[centres])]))
    (folder / "converted_aligned_phones.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(experiment, directory, probe results, summary) of a whole run."""
    directory = tmp_path_factory.mktemp("run")
    source = corpus(tmp_path_factory.mktemp("speech"))
    experiment = config.resolve(
        experiments.get("librispeech_gim"),
        [
            *SMALL,
            f"data.path={source}",
            "data.min_samples=4000",
            "data.holdout=0.4",
            "data.frame_names=['ah','ee','oo']",
            "view.mean=none",
            "view.std=none",
        ],
    )
    facts = jobs.ingest(experiment, directory / "records")
    experiment = config.completed(
        experiment, read_corpus(directory / "records")
    )
    train, test = (
        records.record_files(directory / "records", split)
        for split in ("train", "test")
    )
    jobs.pretrain(
        experiment,
        train,
        directory / "training",
        tensorboard_dir=directory / "tensorboard",
        data_fingerprint=facts["fingerprint"],
    )
    jobs.export(experiment, directory / "training", directory / "model")
    found = jobs.probe(
        experiment,
        directory / "model",
        train,
        test,
        directory / "probe",
        tensorboard_dir=directory / "tensorboard",
    )
    sources = jobs.Sources(
        data=str(directory / "records" / "ingest.json"),
        training=str(directory / "training"),
        probes=str(directory / "probe"),
        tensorboard=str(directory / "tensorboard"),
    )
    summary = jobs.write_report(experiment, sources, directory)
    return experiment, directory, found, summary


def test_both_tasks_are_probed_in_every_module_with_their_controls(ran):
    experiment, _, found, summary = ran
    assert list(found["tasks"]) == ["phone", "speaker"]
    for task, controls in (("phone", 5), ("speaker", 11)):
        modules = summary["probes"][task]
        assert list(modules) == [f"module_{m}" for m in range(1, 7)]
        for scores in modules.values():
            named = {k for k in scores if not k.startswith("untrained_")}
            assert {f"untrained_{key}" for key in named} == set(scores) - named
            assert all(0.0 <= score <= 1.0 for score in scores.values())
        assert len(summary["controls"][task]) == controls
    assert summary["controls"]["phone"]["mfcc_linear_top1"] > 0.5
    assert found["tasks"]["phone"]["class_names"] == ["ah", "ee", "oo"]
    confusion = np.array(found["tasks"]["phone"]["confusion"])
    assert confusion.sum() == found["tasks"]["phone"]["counts"]["test"]
    assert experiment.data.class_names == ("1", "2")


def test_ingest_gave_the_constants_that_views_are_normalised_with(ran):
    experiment, directory, _, _ = ran
    decoded = [
        tf.squeeze(tf.audio.decode_wav(to_wav(example))[0], -1)
        for example in tf.data.TFRecordDataset(
            records.record_files(directory / "records", "train"),
            compression_type="GZIP",
        )
    ]
    heard = np.concatenate(decoded)
    assert experiment.view.mean == pytest.approx(heard.mean(), abs=1e-7)
    assert experiment.view.std == pytest.approx(heard.std(), rel=1e-5)


def to_wav(example):
    from gim_tf.data import wav

    parsed = tf.io.parse_single_example(example, records.FEATURES)
    return wav.to_wav(parsed["encoded"].numpy())


def test_classic_features_are_paired_from_the_first_label_on(ran):
    """They stand where labels do, wherever labels lack at the end."""
    from gim_tf.jobs import probing_sequences

    experiment, directory, _, _ = ran
    files = records.record_files(directory / "records", "test")
    splits = probing_sequences.Splits(experiment, files, files)

    def numbered(samples):
        bands = probing_sequences._classic(16_000)(samples)["log_mel"]
        return {"frame": tf.range(bands.shape[1])[None, :, None]}

    rows, _ = splits.frames("classic", numbered)
    for recording in set(rows.recordings):
        numbers = rows.features["frame"][rows.recordings == recording, 0]
        np.testing.assert_array_equal(numbers, np.arange(len(numbers)))


def test_the_heads_answer_as_the_probe_did(ran):
    """The phones that the export names are those that the probe counted."""
    _, directory, found, _ = ran
    model = load_encoder(directory / "probe" / "model")
    classify = signature_function(model, "classify_frames")
    confusion = np.zeros((3, 3), int)
    for example in tf.data.TFRecordDataset(
        records.record_files(directory / "records", "test"),
        compression_type="GZIP",
    ):
        parsed = tf.io.parse_single_example(example, records.FEATURES)
        labels = parsed["frame_labels"].numpy()
        answer = classify(tf.constant([to_wav(example)]))
        told = answer["class_index"].numpy()[0][-len(labels) :]
        np.add.at(confusion, (labels, told), 1)
    np.testing.assert_array_equal(
        confusion, found["tasks"]["phone"]["confusion"]
    )


def test_the_report_shows_and_tells_both_tasks(ran):
    _, directory, _, summary = ran
    page = (directory / "report.html").read_text()
    for text in ("Phones", "Speakers", "MFCC with deltas", "log-mel"):
        assert text in page
    assert page.count("<img") >= 9
    table = summarise_table(summary)
    assert "unheard voices" in table
    assert "recordings" in table
    assert table.count("MFCC with deltas") == 2


def test_tensorboard_has_both_tasks_under_tags_of_their_own(ran):
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )

    _, directory, _, _ = ran
    events = EventAccumulator(str(directory / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["tensors"])
    assert {
        "probe/phone/module_6/linear_top1",
        "probe/speaker/module_1/untrained_linear_stats_top1",
        "confusion/phone/last_module",
        "confusion/speaker/last_module",
        "pictures/neurons",
        "pictures/recording",
        "pictures/spectrograms",
        "audio/window_1",
    } <= tags
    assert (directory / "tensorboard" / "projector" / "module_6.tsv").exists()


def test_the_probe_shows_what_excites_neurons_of_every_module(ran):
    _, directory, _, _ = ran
    found = json.loads((directory / "probe" / "neurons.json").read_text())
    modules = {neuron["module"] for neuron in found}
    assert modules == {f"module_{m}" for m in range(1, 7)}
    assert all(hit["samples"] for one in found for hit in one["hits"])
    report = (directory / "report.html").read_text()
    assert "What excites single neurons" in report
    assert "test recordings" in report


def test_a_task_without_labels_is_refused_before_training(ran):
    experiment, _, _, _ = ran
    bare = dataclasses.replace(
        experiment, data=dataclasses.replace(experiment.data, frame_names=())
    )
    with pytest.raises(ConfigError, match="frame labels"):
        config.completed(bare, {"class_names": ["1", "2"]})


def test_phones_of_the_frames_of_a_view_can_be_learnt(ran):
    experiment, directory, _, _ = ran
    experiment = config.resolve(
        experiment,
        [
            "stack.objective.kind=supervised",
            "stack.objective.labels_of=frame",
            "stack.module_sizes=[5]",
            "training.learning_rate=0.01",
        ],
    )
    files = records.record_files(directory / "records", "train")
    stack = build.build_stack(experiment)
    trainer = build.build_trainer(experiment, stack)
    data = build.build_training_data(
        experiment, files, records.count_records(files)
    )
    assert build.label_shape(experiment) == (25,)
    losses = []
    for batch in itertools.islice(training_batches(data, 0), 100):
        assert batch.labels.shape == (experiment.training.batch_size, 25)
        assert set(np.unique(batch.labels)) <= {-1, 0, 1, 2}
        # Two labels lack at a recording's end, one stands before frame 0.
        assert np.mean(batch.labels == -1) < 4 / 25
        metrics = trainer.compiled_step(batch.x, batch.labels, (True,))
        losses.append(metrics["module_1"]["loss"].numpy())
    assert np.mean(losses[-20:]) < 0.5 * np.log(3)
