"""Recordings divided in time: exact parts, and no sample in two splits."""

import os

import numpy as np
import pytest

from gim_tf import experiments
from gim_tf.data import corpus, pcm
from gim_tf.data.records import Rejected, write_records
from gim_tf.errors import ConfigError
from tests.source_files import put, read
from tests.speech_files import encode, flac_name, open_, samples, shared

LONG, SHORT = 4000, 1600
SHARES = {"train_share": 0.65, "test_share": 0.28, "min_divided": LONG}
SPLITS = ("train", "test", "unlabelled")
# Who speaks only shortly is no class.
LENGTHS = {
    "1-1-0000": LONG + 3,
    "1-1-0001": SHORT,
    "2-1-0000": LONG - 1,
    "3-1-0000": LONG,
}
DIVIDED = [name for name, count in LENGTHS.items() if count >= LONG]


def recording(name):
    return samples(LENGTHS[name], seed=list(LENGTHS).index(name))


def write(root, source):
    for name in LENGTHS:
        path = flac_name(name)
        if source == "sounds":
            path = f"{name.split('-')[0]}/{name}.wav"
        kind = "WAV" if source == "sounds" else "FLAC"
        put(root / path, encode(recording(name), kind))


def divided(source, root, **settings):
    limits = {**SHARES, "pretrain_split": "unlabelled", **settings}
    return open_(source, root, **limits)


@pytest.mark.parametrize("source", ["librispeech", "sounds"])
def test_parts_are_cut_exactly(tmp_path, source):
    write(tmp_path, source)
    reader = divided(source, tmp_path)
    assert reader.class_names == ("1", "3")
    found = {split: read(reader, split) for split in SPLITS}
    for split, records in found.items():
        names = [n for n in LENGTHS if split == "unlabelled" or n in DIVIDED]
        by_name = {record.id: record for record in records}
        assert len(by_name) == len(records) == len(names)
        for name in names:
            stem = f"{name.split('-')[0]}/{name}.wav"
            key = name if source == "librispeech" else stem
            record, whole = by_name[f"{key}#{split}"], recording(name)
            count = len(whole)
            expected = {
                "train": whole[: int(0.65 * count)],
                "test": whole[count - int(0.28 * count) :],
                "unlabelled": whole[: int(0.65 * count)],
            }[split]
            if count < LONG:
                expected = whole
            else:
                assert record.encoded[:4] == b"fLaC"
            np.testing.assert_array_equal(pcm.decode(record.encoded), expected)
            label = reader.class_names.index(name[0]) if name[0] != "2" else -1
            assert record.label == (-1 if split == "unlabelled" else label)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.3, 0.7, 0.33])
def test_D8_no_sample_of_a_test_part_is_in_another_split(
    tmp_path, share, injected
):
    for length in range(1601, 1640):
        # No value twice: which sample is where can be told.
        put(tmp_path / "a" / f"{length}.wav", encode(ramp(length), "WAV"))
    reader = divided(
        "sounds",
        tmp_path,
        train_share=share,
        test_share=1 - share,
        min_divided=1600,
        min_samples=100,
    )
    heard = {
        split: {one.id.split("#")[0]: one for one in read(reader, split)}
        for split in SPLITS
    }
    assert len(heard["test"]) == 39
    leaked = [
        (name, split)
        for name, test in heard["test"].items()
        for split in ("train", "unlabelled")
        if set(pcm.decode(test.encoded))
        & set(pcm.decode(heard[split][name].encoded))
    ]
    injected(len(heard["test"]), leaked)


def ramp(length):
    return np.random.default_rng(length).permutation(length).astype(np.int16)


def test_frame_labels_and_lists_do_not_count(tmp_path):
    write(tmp_path, "librispeech")
    put(tmp_path / "converted_aligned_phones.txt", b"1-1-0000 1 2 3\n")
    put(tmp_path / "train_split.txt", b"1-1-0000\n")
    reader = divided("librispeech", tmp_path)
    assert all(not r.frame_labels for s in SPLITS for r in read(reader, s))
    assert reader.frame_names == ()


def test_a_part_must_reach_the_least_length(tmp_path):
    with pytest.raises(ConfigError, match=r"min_divided 0 leaves 0 samples"):
        divided("sounds", tmp_path, min_divided=0)
    with pytest.raises(ConfigError, match=r"2857 leaves 799 .* asks for 800"):
        divided("sounds", tmp_path, min_divided=2857)
    divided("sounds", tmp_path, min_divided=2858)
    with pytest.raises(ConfigError, match=r"cannot follow data\.train_share"):
        open_("embedded", None, **SHARES)


def test_a_silent_part_is_rejected_by_name(tmp_path):
    values = samples(LONG)
    values[LONG // 2 :] = 5
    put(tmp_path / "a" / "x.flac", encode(values))
    reader = divided("sounds", tmp_path)
    (bad,) = read(reader, "test")
    assert bad == Rejected("a/x.flac#test", "silent, all samples are equal")
    assert len(read(reader, "train")) == 1


def test_what_cannot_be_opened_is_not_waited_for(tmp_path):
    write(tmp_path, "librispeech")
    os.mkfifo(tmp_path / flac_name("3-1-0000").replace("0000", "0009"))
    reader = divided("librispeech", tmp_path)
    assert len(read(reader, "train")) == 2
    rejected = [
        one for one in read(reader, "unlabelled") if one.id[4:8] == "0009"
    ]
    assert [one.reason for one in rejected] == [
        "no regular file, or a broken link"
    ]


def test_records_of_divided_recordings_are_written(tmp_path):
    write(tmp_path, "librispeech")
    reader = divided("librispeech", tmp_path)
    counts = write_records(reader, tmp_path / "records")
    assert counts == {"unlabelled": 4, "train": 2, "test": 2}
    facts = corpus.read_corpus(tmp_path / "records")
    assert facts["class_names"] == ["1", "3"]
    heard = [pcm.decode(r.encoded) for r in read(reader, "unlabelled")]
    whole = np.concatenate(heard) / 32768
    np.testing.assert_allclose(facts["std"], whole.std(), rtol=1e-12)


def test_real_speakers_are_divided():
    data = experiments.get("librispeech_gim").data
    limits = {"min_samples": data.min_samples, "min_divided": 160_000}
    reader = divided("librispeech", shared("librispeech-mini.tar"), **limits)
    counts = {
        split: sum(len(item.members) for item in reader.work(split))
        for split in SPLITS
    }
    assert counts == {"train": 200, "test": 200, "unlabelled": 251}
    assert len(reader.class_names) == 200
    (item,) = reader.work("test")
    first = item._replace(members=item.members[:2])
    for record in reader.read(first):
        assert len(pcm.decode(record.encoded)) >= int(0.28 * 160_000)
