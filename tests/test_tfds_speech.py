"""Recordings of TFDS: the builder's own files, and the bytes as they were."""

import pytest

from gim_tf.data import corpus, records
from gim_tf.data.records import Rejected
from gim_tf.errors import ConfigError, DataError
from tests.source_files import put, read
from tests.speech_files import IDS, LEAST, encode, flac_name, open_, samples

SUBSETS = (
    *("dev_clean", "dev_other", "test_clean", "test_other"),
    *("train_clean100", "train_clean360", "train_other500"),
)


def write_subset(root, ids, seed):
    """A tree with transcripts and lists, as TFDS wants it."""
    folder = root / "LibriSpeech"
    put(folder / "SPEAKERS.TXT", b"; comment\n9 | F | x | 1 | A\n")
    put(folder / "CHAPTERS.TXT", b"5 | 9 | 1 | x | 1 | 1 | A | B\n")
    for index, name in enumerate(ids):
        path = folder / "part" / flac_name(name)
        length = LEAST - 1 if name.endswith("0003") else 1600
        put(path, encode(samples(length, seed=seed + index)))
        with path.with_name("all.trans.txt").open("a") as transcripts:
            transcripts.write(f"{name} SOME WORDS\n")


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds
    from etils import epath

    folders = {}
    for index, subset in enumerate(SUBSETS):
        ids = IDS if subset == "train_clean100" else [f"{index}-1-0000"]
        folders[subset] = epath.Path(tmp_path / "fetched" / subset)
        write_subset(tmp_path / "fetched" / subset, ids, 100 * index)
    monkeypatch.setattr(
        tfds.download.DownloadManager,
        "download_and_extract",
        lambda self, urls: folders,
    )
    return tmp_path / "fetched"


@pytest.mark.slow
def test_tfds_librispeech_from_made_files(fetched, tmp_path, monkeypatch):
    path = f"librispeech/lazy_decode@{tmp_path / 'prepared'}"
    splits = {
        "pretrain_split": "train_clean360",
        "train_split": "train_clean100",
    }
    source = open_("tfds_speech", path, holdout=0.4, max_bad=4, **splits)
    monkeypatch.setattr("gim_tf.data.sources.tfds.PIECE", 7)
    assert source.class_names == ("10", "9")
    train, test = (read(source, s) for s in ("train_clean100", "test"))
    assert sorted(one.id for one in train + test) == sorted(IDS)
    for one in train + test:
        if one.id.endswith("0003"):
            assert isinstance(one, Rejected)
            assert one.reason.startswith("too short")
            continue
        assert one.label == source.class_names.index(one.id.split("-")[0])
        (file,) = (fetched / "train_clean100").rglob(f"{one.id}.flac")
        assert one.encoded == file.read_bytes()
    counts = records.write_records(source, tmp_path / "records")
    assert counts["train_clean360"] == 1
    assert counts["train_clean100"] + counts["test"] == 12
    facts = corpus.read_corpus(tmp_path / "records")
    assert facts["class_names"] == ["10", "9"]
    assert facts["std"] > 0
    assert source.fingerprint() == source.fingerprint()
    (other,) = read(source, "train_clean360")
    assert (other.id, other.label) == ("5-1-0000", -1)


def test_the_name_of_a_set_is_needed():
    with pytest.raises(ConfigError, match=r"'tfds_speech' needs data\.path"):
        open_("tfds_speech").work("train")


def test_sets_of_other_features_are_refused():
    import numpy as np
    import tensorflow_datasets as tfds

    source = open_("tfds_speech", "any")
    speech = tfds.features.Audio(file_format="flac", dtype=np.int16)
    for features, message in (
        ({"speech": speech}, "expected speech and speaker_id"),
        ({"speech": speech, "speaker_id": np.int64}, "librispeech/lazy_decode"),
    ):
        with pytest.raises(DataError, match=message):
            source._check_features("any", tfds.features.FeaturesDict(features))
