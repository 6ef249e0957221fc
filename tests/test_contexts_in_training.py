"""Contexts and sequences go through the same jobs as patches do."""

import io
import json
import math
import wave

import numpy as np
import pytest

from gim_tf import config, jobs
from gim_tf.data import records
from gim_tf.data.shards import ShardWriter

pytestmark = pytest.mark.integration


def wav(samples):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


@pytest.fixture
def recordings(tmp_path):
    """A TFRecord file of twelve recordings of noise, each of its own length."""
    drawn = np.random.default_rng(0)
    directory = tmp_path / "records"
    with ShardWriter(directory / "Split-train") as writer:
        for index in range(12):
            samples = drawn.normal(size=1600 + 100 * index) * 2000
            record = records.Record(str(index), 0, "train", wav(samples))
            writer.write(records.to_example(record))
    return records.record_files(directory, "train")


def history(directory):
    lines = (directory / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def pretrain(experiment, files, directory):
    return jobs.pretrain(
        experiment, files, directory, tensorboard_dir=directory / "tensorboard"
    )


@pytest.mark.parametrize("at", ["last", "every"])
def test_sequences_train_every_module(tiny_sequence, recordings, tmp_path, at):
    words = [
        "training.num_steps=4",
        "training.log_every=2",
        f"stack.autoregressor_at={at}",
    ]
    experiment = config.resolve(tiny_sequence, words)
    section = pretrain(experiment, recordings, tmp_path / "run")
    assert len(section["modules"]) == 6
    for module in section["modules"].values():
        # Three negatives, and initial scores next to zero.
        assert module["loss"] == pytest.approx(math.log(4), abs=0.4)
        assert module["chance_loss"] == math.log(4)
    assert [line["step"] for line in history(tmp_path / "run")] == [2, 4]
    pictures = (tmp_path / "run" / "pictures").iterdir()
    assert {p.name for p in pictures} == {"spectrograms.png", "window.png"}


def test_one_module_with_a_masked_context_is_probed_by_z(
    tiny, tiny_records, tmp_path
):
    cpc = config.resolve(
        tiny,
        [
            "stack.module_sizes=[4]",
            "stack.autoregressor.kind=masked_conv",
            "stack.autoregressor.num_layers=2",
            "stack.representation=z",
        ],
    )
    files = records.record_files(tiny_records, "train")
    pretrain(cpc, files, tmp_path / "run")
    jobs.export(cpc, tmp_path / "run", tmp_path / "model")
    result = jobs.probe(
        cpc,
        tmp_path / "model",
        files,
        records.record_files(tiny_records, "test"),
        tmp_path / "probe",
        tensorboard_dir=tmp_path / "tensorboard",
    )
    assert list(result["tasks"]["class"]["modules"]) == ["module_1"]
