"""What only the data can tell: exact moments, names, the file that has them."""

import dataclasses
import io
import json

import numpy as np
import pytest
import soundfile

from gim_tf import config, experiments
from gim_tf.data import corpus, pcm, records
from gim_tf.data.corpus import Moments
from gim_tf.errors import DataError
from gim_tf.jobs import ingesting
from tests.source_files import put, write_idx
from tests.speech_files import IDS, encode, flac_name, open_, samples

LOUD = np.array([-32768, 32767] * 800, np.int16)


def test_moments_are_those_of_the_samples():
    parts = [samples(1600 + i, seed=i) for i in range(3)]
    found = sum(
        (
            corpus.moments(encode(part, kind))
            for part in parts
            for kind in ("FLAC", "WAV")
        ),
        Moments(),
    )
    whole = np.concatenate(parts) / 32768
    assert found.count == 2 * len(whole)
    np.testing.assert_allclose(found.mean, whole.mean(), rtol=1e-12)
    np.testing.assert_allclose(found.std, whole.std(), rtol=1e-12)


def test_moments_are_exact_and_adding_has_no_order():
    large = Moments(3 * 10**12, -7, 2**30 * 3 * 10**12)
    one = corpus.moments(encode(LOUD))
    assert one == (1600, -800, 800 * (2**30 + 32767**2))
    assert (large + one) + one == one + (one + large)
    assert (large + one).squares - large.squares == one.squares
    assert (Moments().mean, Moments().std) == (None, None)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("FLAC", "PCM_16"), ("WAV", "PCM_16"), ("OGG", "VORBIS")],
)
def test_the_length_after_resampling_is_in_the_header(kind, subtype):
    content = encode(samples(4801), kind, rate=48_000, subtype=subtype)
    assert pcm.num_samples(io.BytesIO(content), 16_000) == 1601
    assert pcm.num_samples(io.BytesIO(content[:20]), 16_000) == 0
    assert pcm.num_samples(io.BytesIO(b""), 16_000) == 0
    if kind == "FLAC":
        assert pcm.num_samples(io.BytesIO(content[:26]), 48_000) == 4801


def test_ingest_writes_the_facts_of_the_pretraining_split(tmp_path):
    for seed, name in enumerate(IDS):
        put(tmp_path / flac_name(name), encode(samples(seed=seed)))
    labels = "".join(f"{name} {'1 ' * 8}\n" for name in IDS)
    put(tmp_path / "converted_aligned_phones.txt", labels.encode())
    source = open_("librispeech", tmp_path, holdout=0.3)
    records.write_records(source, tmp_path / "records")
    facts = corpus.read_corpus(tmp_path / "records")
    heard = np.concatenate(
        [
            soundfile.read(io.BytesIO(record.encoded))[0]
            for item in source.work("train")
            for record in source.read(item)
        ]
    )
    assert facts["class_names"] == ["10", "9"]
    assert facts["frame_names"] == [str(label) for label in range(41)]
    np.testing.assert_allclose(facts["mean"], heard.mean(), rtol=1e-12)
    np.testing.assert_allclose(facts["std"], heard.std(), rtol=1e-12)
    completed = config.completed(
        dataclasses.replace(
            experiments.get("librispeech_gim"), data=source.data
        ),
        facts,
    )
    assert completed.data.class_names == ("10", "9")
    assert completed.view.mean == experiments.get("librispeech_gim").view.mean


def test_every_speaker_must_be_in_train(tmp_path):
    for seed, name in enumerate(IDS):
        put(tmp_path / flac_name(name), encode(samples(seed=seed)))
    put(tmp_path / "train_split.txt", "\n".join(IDS[:8]).encode())
    put(tmp_path / "test_split.txt", "\n".join(IDS[8:]).encode())
    with pytest.raises(DataError, match=r"no example of 1 class.*'10'"):
        records.write_records(
            open_("librispeech", tmp_path), tmp_path / "records"
        )


def test_old_records_and_damaged_facts(tmp_path):
    assert corpus.read_corpus(tmp_path) == {}
    assert corpus.read_corpus(str(tmp_path / "absent")) == {}
    for content in (b"{", b"[]", b"\xff\xfe"):
        put(tmp_path / corpus.NAME, content)
        with pytest.raises(DataError, match=r"corpus\.json is damaged"):
            corpus.read_corpus(tmp_path)


def test_facts_that_are_lost_are_ingested_again(tiny, tmp_path):
    images = np.arange(20 * 28 * 28, dtype="u1").reshape(20, 28, 28)
    labels = np.arange(20, dtype="u1") % 10
    for prefix in ("train", "t10k"):
        write_idx(tmp_path / "source", images, labels, prefix)
    data = dataclasses.replace(
        tiny.data, source="idx", path=str(tmp_path / "source")
    )
    experiment = dataclasses.replace(tiny, data=data)
    ingesting.ingest(experiment, tmp_path / "records")
    path = tmp_path / "records" / corpus.NAME
    facts = json.loads(path.read_text())
    assert (facts["mean"], facts["std"]) == (None, None)
    assert tuple(facts["class_names"]) == tiny.data.class_names
    for content in (None, "{"):
        path.unlink()
        if content:
            path.write_text(content)
        ingesting.ingest(experiment, tmp_path / "records")
        assert json.loads(path.read_text()) == facts
